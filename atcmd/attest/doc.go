// Package attest plays the modem's part in tests of the AT engine and of drivers: a scripted DCE on an in-memory
// line. It objects to every byte it did not expect, and it sends one byte at a time unless told otherwise, so that
// nothing can come to rely on how an answer was cut into reads.
//
//	dce, port := attest.New(t)
//	engine := atcmd.New(port)
//	go func() { dce.Expect("AT+CSQ\r"); dce.Send("\r\n+CSQ: 20,99\r\n\r\nOK\r\n") }()
//	resp, err := engine.Do(ctx, atcmd.Exec("+CSQ"))
//
// Where the modem's part is a transcript, as a real one has spoken it, Play is that modem:
//
//	engine := atcmd.New(attest.Play(t, "testdata/ec600.at"))
//
// The line is a net.Pipe, so a test may run in a testing/synctest bubble, where minutes of waiting take no time.
package attest
