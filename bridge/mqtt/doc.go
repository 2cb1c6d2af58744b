// Package mqtt is a modems.Session over any net.Conn: the host encodes MQTT 3.1.1, and whoever dials decides what
// lies underneath, a modem's socket or the machine's own network.
//
// It is the only package besides the simulator that imports paho, and it uses paho as a transport and nothing more:
// one connection, one session, no reconnect, no retry, no store. What must survive lives in the outbox, and the one
// loop that reconnects lives in package bridge.
//
//	Publish --> window --> paho --> link (buffer, own writer, write deadline) --> TLS --> net.Conn
//	Receive <-- queue  <-- paho <-- link (packet sizes checked before paho)   <-- TLS <--
//
// What paho does not do, and what is done about it here:
//
//   - It knows no context. Nothing of it is called that could block: link.Write only copies, and what has to wait,
//     waits here, before paho is asked.
//   - It takes net.ErrClosed for a close of its own and then says nothing. link never returns it.
//   - It never notices a blocked Write. The link's writer has a deadline of its own, per chunk, so that a long
//     payload on a slow line is no stall.
//   - It takes a CONNACK code above 5 for success, allocates whatever length a header claims, and panics on a SUBACK
//     of the wrong length. link reads the headers first.
//   - It does not settle the tokens of publishes when a persistent session is lost. A receipt looks at the session
//     too.
//   - Its handler must not block. It puts into a bounded queue, and a full queue ends the session: the broker still
//     has every message that was not acknowledged.
package mqtt
