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
// # A URC at any byte
//
// A modem puts a URC between two lines, never inside a line, a prompt or counted data that it is printing. There it
// changes nothing: the command gets the same answer, all URCs come, in their order, and no counter moves. Were one inside
// a line all the same (a lost line end, two writers), that line is lost to its command, which may then run out of time;
// the URC still comes, once and whole, unless counted data has swallowed it; and the next command gets its own answer,
// whole and alone. Both are tested at every byte of every transcript in modems/testdata.
//
// # Why github.com/warthog618/modem/at is not the engine
//
// It takes text for lines wherever it stands, so that counted data which holds OK ends its command, data which holds ERROR
// fails it, and a line beyond 64 KiB, or a hundred reads without a byte, close it for good. Whatever comes while a command
// waits belongs to that command: a URC, registered or not, stands in its answer, an answer that is late becomes that of the
// next command, and the URCs themselves are handled by a goroutine each, in no order. It has no context and no Close, a
// command cannot say how its dialect ends it, and a filter below it that mended all this would be the engine. (Its package
// info is used here, its at is the reference of the tests and benchmarks, which say so should it be mended.)
//
// Each of these is a test, and a mutant in scripts/mutants that it notices:
//
//	a URC leaks into the running command's answer    TestAttribution, TestURCAtEveryByte, TestDifferencesFromReference
//	a late answer is handed to the next command      TestLateAnswer, TestLateDeclaredFinal, TestAnswerAtTheTimeout
//	URCs lose their order                            TestURCOrder, TestURCOrderBesideReference
//	a payload that holds OK ends the command         TestCountedData, TestAttribution, TestDifferencesFromReference
//	a line over 64 KiB closes the driver             TestDifferencesFromReference, TestNoiseIsBounded
//	a hundred empty reads close the driver           TestEmptyReads
//	a blocked write hangs for ever                   tty: TestStuckWrite, TestStuckWriteEndsTheEngine
//
// # Figures
//
// Three runs on two shared cores of an AMD EPYC, go1.26.8; a ratio is of one run, beside warthog618/modem v0.4.0.
//
//	                                        atcmd           reference       ratio
//	OK to return of Do, in-memory pipe      1.6-1.7 µs      3.4-4.8 µs      0.35-0.47
//	  allocations for a command             2               12
//	OK to return of Do, pseudo-terminal     24-31 µs        27-34 µs        0.89-0.93   bound by the kernel: two wake-ups
//	URCs a second, in-memory pipe           3.0-3.1 M       0.60-0.73 M     4.1-5.1
//	  allocations for a URC                 1               3
//	URCs a second, pseudo-terminal          0.85-1.0 M      0.44-0.49 M     1.7-2.3     bound by the kernel: 64 at a time
//	scanner                                 232-282 MB/s    -               no allocation
//
//	go test ./atcmd -run '^$' -bench Command    # the first three lines
//	go test ./atcmd -run '^$' -bench URC        # the next three
//	go test ./atcmd -run '^$' -bench Scanner
//
// At 115200 baud an answer of 23 bytes takes 2 ms on the wire.
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
