// Package modems turns an AT command channel into a modem: who it is, its SIM and network, and its way to an MQTT
// broker. What 27.007 gives every modem lives here once; what one family does differently is a Driver, in a file of
// its own.
//
//	modem, err := modems.Attach(ctx, port, modems.Options{})   // talks until the modem is known
//	err = modem.Online(ctx)                                     // SIM, registration, PDP context
//	session, err := modem.DialMQTT(ctx, cfg)                    // the module's own MQTT stack
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
// Write one file with a Driver and register it from init. A zero field means "as 27.007 says". Facts carry the
// manual and clause they come from. Then run the suite in modemtest. If another file must change, the contract is
// wrong: mend it first.
//
//	session.go            what a live MQTT session is, whoever encodes it
//	native.go             what every session of a module's own MQTT stack shares
//	driver.go             Driver, and finding the right one
//	modem.go, startup.go  Modem and Attach
//	router.go             URCs to whom they concern
//	online.go, simcard.go, network.go   SIM, registration, signal, PDP context
//	send.go               commands typed by people, and which of them are refused
//	ec600.go              Quectel EC600; quectel_*.go: what the family shares
//
// # What a native session cannot promise
//
// The module acknowledges a message from the broker before the host has read it from the UART. A host that dies in
// between loses it, and nothing on the host can prevent that. Upwards nothing is lost: a message counts as delivered
// only when the module has reported the broker's acknowledgement with the message's own packet identifier.
package modems
