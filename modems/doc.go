// Package modems turns an AT command channel into a modem: who it is, its SIM and network, and its way to an MQTT
// broker. What 27.007 gives every modem lives here once; what one family does differently is a Driver, in a file of
// its own.
//
//	modem, err := modems.Attach(ctx, port, modems.Options{})   // talks until the modem is known
//	err = modem.Online(ctx)                                     // SIM, registration, PDP context
//	session, err := modem.DialMQTT(ctx, cfg)                    // the module's own MQTT stack
//	conn, err := modem.DialContext(ctx, "tcp", "host:port")     // or a net.Conn over its TCP stack
//
// # Who calls whom
//
// The engine (package atcmd) owns the port. One goroutine here, the router, takes the engine's URCs in order and gives
// each to the handlers that asked for it: a session's, or somebody who waits for one result. A handler never blocks
// and never sends a command. Who waits for a result URC registers before the command is written, because the result
// may come before OK.
//
// # Adding a modem
//
// It takes one file with a Driver, one transcript and one test; ml307.go, testdata/ml307_onemo.at and ml307_test.go were
// made so. If another file must change, the contract is wrong: mend it first.
//
//  1. See whether it is new. AT+CGMM of a relative may only need its model name in Models of the driver that is there, and
//     a firmware that differs in its commands is a Flavour of it (nt35e.go). `atbridge send --port ... AT+CGMM` works
//     with every modem, and so does driver generic.
//  2. Collect what is known: the maker's AT manual for MQTT, and a log of a real session, your own from `atbridge record`
//     or one that others have published. What no manual says and no log shows is not known: say so in a comment.
//  3. Write the log to testdata/<driver>_<what>.at; package transcript tells the format. `# firmware:` and `# source:`
//     say where it is from, and `# urcs:` names the maker's URCs. The engine's tests now play it, too, and put a URC at
//     every byte of it.
//  4. Write <driver>.go, and Register the Driver from init. Name the sources there once, by keys, and let each constant
//     name the clause that it is from. A zero field means "as 27.007 says", so Name, Title, Checked, Models and Grammar
//     make a driver. Grammar lists all that comes unasked (URCs), the lines of a start (Reboot), and which line announces
//     counted data (Block); that rule must fit no other line, because until the modem is known all grammars are asked.
//     Messages begins the URC that brings a message. Disruptive and Secretive name the commands that would disturb a
//     session and those that hold passwords, Commands and Results what the console completes and explains. Activate and ICCID are for what 27.007 does not do on this module,
//     HasMQTT for models that are also sold without the stack, Socket for TCP.
//  5. Give it MQTT: DialMQTT refuses with ErrUnsupported what it cannot do, before a byte is sent (suits), ends what an
//     earlier run has left, writes every setting that matters, default or not, and connects. The session embeds
//     nativeSession, which has the window, the receipts and the queue. What is left to the family: send and stands, given
//     to begin; a handler, given to listen, that never blocks and feeds settle, deliver and end; Subscribe, Unsubscribe
//     and Close. Acked is what the broker has acknowledged. Where that may be so and may not, it is Unknown, never Failed.
//  6. Write <driver>_test.go: the transcript through Attach, Online, DialMQTT, both ways, and Close (attest.Play), and a
//     scripted module (attest.New) for each way to fail. testing/synctest makes the waiting take no time. Then take each
//     handling out once and see a test fail: scripts/mutants keeps those patches.
//  7. ATBRIDGE_UPDATE=1 go test ./modems writes the table of the README; CHANGELOG.md gets a line. Checked says what all
//     of this rests on, and nothing better than that. scripts/check.sh must pass.
//
// A simulation in modemsim, written from the manual and not from the driver, is the next step: the suite in modemtest
// finds it by the driver's name and holds the driver against a real broker. Until then modemtest demands the transcript.
//
// # The files
//
//	session.go            what a live MQTT session is, whoever encodes it
//	native.go             what every session of a module's own MQTT stack shares
//	dialer.go, conn.go    the modem as a dialer: a net.Conn over one of the module's sockets
//	driver.go             Driver, and finding the right one
//	modem.go, startup.go  Modem and Attach
//	router.go             URCs to whom they concern
//	online.go, simcard.go, network.go   SIM, registration, signal, PDP context
//	recovery.go           what is done to a modem that hangs
//	send.go               commands typed by people, and which of them are refused
//	info.go, watch.go, explain.go, *_known.go   what a person asks of a modem, sees of its wire, and is told about a line
//	ec600.go, quectel_*.go     Quectel EC600, and what the family shares
//	air724ug.go, luat_*.go     AirM2M Air724UG
//	nt35e.go, lierda_*.go      Lierda NT35E
//	ml307.go                   China Mobile ML307: the smallest, to read first
//
// # A connection through the modem
//
// Write copies into a buffer, and what gathers while a send is in progress leaves together in the next one: many small
// MQTT packets share one AT transaction. A module that is full is asked again; what fails shows in the next call, and is
// never net.ErrClosed, which paho takes for its own doing. What comes is counted, never searched for line ends. It cannot
// be held back: the module pushes it, and four megabytes that nobody reads end the connection.
//
// # What a native session cannot promise
//
// The module acknowledges a message from the broker before the host has read it from the UART. A host that dies in
// between loses it, and nothing on the host can prevent that. The buffers that some modules keep until they are read would
// exchange that gap for a worse one: an EC600 holds 5 messages and drops the sixth, an Air724UG 4 and overwrites the oldest,
// so a burst would lose messages while all is well. Path tcp has no such gap. Upwards nothing is lost: a message counts as delivered
// only when the module has reported the broker's acknowledgement with the message's own packet identifier.
package modems
