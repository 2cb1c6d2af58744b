// Package atcmd speaks to a modem in AT commands: ITU-T V.250 and 3GPP TS 27.007, and no maker's dialect.
//
// # The wire on one page
//
// The host (DTE) sends a command line, "AT" + body + CR. The modem (DCE) may echo it, then sends any number of
// information responses and exactly one final result code. Each stands on a line of its own, framed by CR LF:
//
//	AT+CSQ\r                          command line
//	AT+CSQ\r                          echo (V.250 5.2.3), gone after ATE0
//	\r\n+CSQ: 20,99\r\n               information response
//	\r\nOK\r\n                        final result code
//
// Between any two of these lines, never inside one, the modem may put an unsolicited result code (URC):
//
//	\r\n+CREG: 1\r\n
//
// Some commands carry data. The modem asks for it with a prompt that has no line end, takes exactly the bytes that
// were announced, and only then gives the final result code:
//
//	AT+QMTPUBEX=0,1,1,0,"t",5\r       command line
//	\r\n>·                            prompt: CR LF, '>' and a blank
//	hello                             data: any byte, not a line
//	\r\nOK\r\n
//
// And data comes back inside or behind a line, counted, whatever bytes it holds:
//
//	\r\n+QMTRECV: 0,0,"t",5,"hello"\r\n
//	\r\n+QIURC: "recv",0,5\r\nhello\r\n
//
// # The rules of this package
//
//  1. Bytes are read by one goroutine and written by one other, the Engine's loop, which alone knows the command in
//     flight.
//  2. One command at a time. Who else wants to send waits its turn; Exclusive keeps the turn for a sequence.
//  3. A line is a final result code only if it is exactly one. "CONNECT OK" is not "OK".
//  4. '>' is a prompt only at the start of a line and only while a command with a payload waits for one.
//  5. Counted data is taken by count. What a line announces is decided by the Grammar, which the driver sets from
//     what it has configured, never guessed from the text.
//  6. A URC goes to the one queue of URCs, in order, even in the middle of an answer that has the same prefix.
//  7. A command's timeout is a fact of the manual and stands on the Command. The caller's patience is its context.
//  8. After either has run out, nothing is sent until the line is known to be in step again: the late answer is
//     waited for and swallowed, then a marker command proves that nothing else is owed.
//  9. After a lost prompt nothing is written at all until the modem must have left its data state: the next command
//     line would become payload, and be published.
//  10. No argument can end its command line or leave its quotes: Quote refuses what could.
//  11. Secrets are masked before anything is formatted.
//
// # Where things are
//
//	scanner.go   bytes -> lines, prompts and counted data. Pure: no I/O, no clock, no goroutine
//	grammar.go   what a dialect adds to V.250; which line belongs to whom
//	command.go   Command, its builders, and the one quoting function
//	engine.go    Engine: Do, Exclusive, Use, URCs, Close
//	inbox.go     what the reader leaves for the loop
//	loop.go      the loop behind it, and resync.go: how it gets back in step
//	params.go    "+CSQ: 20,99" -> fields
//	errors.go, cmee.go  what can go wrong, with the words of 27.007 and 27.005
//	tap.go, monitor.go  the wire as text, secrets masked: our own, and that of others
//	transcript/  that text as a file, which plays back
//	attest/      a modem for tests: scripted, or played from a transcript
//	tty/         the serial port
package atcmd
