// Package transcript is the one format for what has passed between a host and a modem: written by `atbridge record` and
// by any atcmd.Tap, read by people, played back by `atbridge replay` and, in tests, by attest.Play.
//
//	# firmware: EC600SCNLAR01A20M08
//	# source: recorded by atbridge v0.1.0, 2026-01-05T10:00:00Z, /dev/ttyUSB2 at 115200 baud
//	     0.000 -> AT+CPIN?\r
//	     0.007 <- \r\n+CPIN: READY\r\n
//	     0.007 <- \r\nOK\r\n
//	     1.520 -> AT+QMTPUBEX=0,1,1,0,"t",5\r
//	     1.528 <- \r\n>\x20
//	     1.528 -> hello
//	         - <- \r\nOK\r\n
//
// An entry is one line: seconds since the beginning ('-' where nobody knows), -> for what the host sent and <- for what
// the modem sent, and every byte of it: control characters and what is not UTF-8 as Go writes them in a string, quotes
// as they are, a blank at the end as \x20. A '#' begins a line for people; `# firmware:` and `# source:` say what the
// transcript rests on.
//
// *** stands where a secret was. It was put there before anything was formatted; the secret is nowhere in the file. In
// what the host sends it matches whatever the host sends in that place, which then stands in the echo too; anywhere else in
// what the modem sends it is sent as it is.
//
// The tap of `atbridge record` is package trace of github.com/warthog618/modem: a Trace around each end, of which only
// the reads are taken, by a Logger that is handed bytes and not text and masks them. It is not the tap of package
// atcmd: a Trace logs a write after it is done, from another goroutine than the reads, so that an answer may stand before
// its command; and its Logger does not know which command is in flight, whose secrets are to be masked.
package transcript
