// Package bridge carries messages between the local side and a broker in the cloud, and loses none that it has
// accepted. It holds no AT command: a modem is something to be attached, and a session something to publish to.
//
// # Up: from a local client to the cloud
//
//		local client                    outbox (disk)             session                     broker
//		     | 1 PUBLISH                     |                       |                          |
//		     |------------> 2 route, 3 Put ->|                       |                          |
//		     |  5 PUBACK        4 fsync done |                       |                          |
//		     |<------------------------------| 6 Next                |                          |
//		     |                               |------> 7 Publish ---->|------------------------->|
//		     |                               |                       |       8 acknowledged     |
//		     |                               |<----- 9 Delivered ----|<-------------------------|
//
//	 1. A local client publishes.
//	 2. A route says where it goes. No route: the message stays local.
//	 3. The outbox takes it, 4. and has it on the disk.
//	 5. Only now does the local client get its PUBACK. From here on the message is ours.
//	 6. The pump takes the oldest one that is not being sent, of high priority first,
//	 7. and hands it to the session, up to the session's window.
//	 8. The broker acknowledges it: the receipt settles.
//	 9. The outbox forgets it. Whatever fails between 5 and 9 ends the session; what is unsettled goes again, in order,
//	    on the next one. A message is delivered twice only where its acknowledgement, or the note of it, was lost.
//
// # What goes first, and what goes overboard
//
// A route says which priority its messages have. Those of high priority go before all that are normal, whenever they
// came; order is kept within a priority, and so for every topic. The priority stays with the message: after a SIGHUP
// that changes it, what is in the queue already keeps its own, and the newer ones of that topic may overtake it once.
//
// When the queue is full, what local clients have sent with QoS 0 goes first: nobody waits for its PUBACK. Then, with
// drop-oldest, the oldest normal one, then the oldest high one; with reject nothing more. What is being sent stays, and
// nothing is dropped for a message of a lower rank: then it is the new one that is not taken. All of it is counted, by
// reason. A message that is older than max_age is dropped as well; its age is what has passed, whatever the clock shows.
//
// A message that the broker ends the session for, since it is too large or its topic is forbidden, would block all behind it.
// suspect.go finds it, by sending it alone, and sets it aside as poisoned. A topic with a control character, for which any broker
// may end the session (MQTT 3.1.1, section 1.5.3), is set aside unsent.
//
// # Down: from the cloud to local clients
//
// A message is taken from the session, routed, handed to the local side, and only then acknowledged upstream, where the
// host holds the protocol (path tcp and host). Handed to the embedded broker means: every local subscriber that is
// connected has it in its queue, and every lasting session (clean session 0) that gets it with QoS 1 or 2 has it on the
// disk. Handed to an existing broker means: that has acknowledged it. While a local side is away, or its disk is full, the
// pump waits for as long as the session stands and 5 s longer, and the broker in the cloud keeps the message. The answer that
// Config.Incoming gives to a message is on the disk before the message is acknowledged, and waits for room likewise.
//
// Where the module holds the protocol (path native: EC600, NT35E, Air724UG, ML307 alike), it acknowledges to the broker
// when it has the message, before we have: what is then on the line, in the driver's queue or in the hands of the pump is
// lost if the process is killed or the line breaks. Path tcp closes this gap. What a module pushes while no session listens, of
// one that an earlier run has left in it, is kept in memory for the next that does, whatever its path, through failed dials too.
//
// # What the embedded broker promises
//
// A PUBACK to a local publisher, and ours to the cloud, means: the message is on the disk for the cloud, if a route
// takes it, and for each lasting session that gets it with QoS 1 or 2; and if it is a retained one, it is retained on the
// disk. This survives kill -9: such a client comes back, finds its subscriptions, and gets what it has not
// acknowledged, in order, at least once. Messages that no lasting session wants, and those of QoS 0, cost no write.
//
// All this is bounded: 10,000 messages or 16 MiB for one session, 64 MiB for all, 1,000 lasting sessions. Beyond it a
// message from the cloud waits up to 30 s for a subscriber that is connected; then, and at once where it is not or
// where the message is from another local client, the session's oldest message is dropped, counted and logged.
//
// A client with MQTT 5 gets its messages again after a restart too; how long they were to be kept is then counted anew.
//
// The file is queue.dir/local. If it is damaged, it is kept as local.damaged, what can be read of it is used, and the log says so.
//
// # An existing local broker
//
// LocalBroker. Its promises are that broker's; ours is that a message is acknowledged to it when it is on our disk, and
// upstream when it has acknowledged ours. Whether a message was retained it does not say of live ones: MQTT 3.1.1 has
// brokers clear the flag.
//
// # Loops
//
// loop.go: a route that feeds itself is refused, and a message from the cloud never goes up again.
//
// # Who encodes MQTT
//
// Path native is the module's own stack, path tcp this program over the module's TCP socket, with TLS on this side. Auto
// takes native first. It goes to tcp at once where there is no such stack or the stack cannot carry what is configured or
// a message, and after three failures in a row; it logs why, status shows it, and half an hour later native is tried again.
// Where tcp fails three times in a row, native is tried again at once. If native works, and three times in a row tcp has come
// to nothing for a message that native cannot carry, such messages are set aside for half an hour, and do not block the rest.
// Both are one identity and one queue: the switch loses nothing, and repeats nothing that was acknowledged.
//
// # Logging in
//
// Before a session Config.Prepare may get over the network what the cloud asks for; a session whose login ends is followed
// by another in time (Target.Until). Three sessions in a row that the broker ended soon after they stood are taken for the
// work of somebody else with the same identity. Config.Outgoing and Incoming change messages as the cloud wants them.
//
// # A person's own messages
//
// direct.go: atbridge pub and sub go past the queue, on the session that stands, and beside the routes.
//
// # The one loop that reconnects
//
// supervise.go: open the port, attach, go online, dial, run; when something ends, back off and begin where it broke.
// Nothing else in the program retries a connection. The waits grow for the port and for the broker apart, up to 10 s and a
// minute: an attached modem ends the one row of failures; the other a session that stood for a minute, or that delivered
// something and was not ended by the broker. Where trying again does not help, ladder.go says what is next: the
// PDP context anew, a restart by command, the reset line, and then retries alone for a while. How far an attempt came
// decides where on the ladder it begins: a modem that answers nothing is reset at once, a broker that says no never is the
// modem's fault. probe.go asks an idle modem now and then, and a silent one soon, where acknowledgements are due.
//
//	bridge.go      Bridge: what it is made of, and its life
//	supervise.go   the loop; backoff.go: its patience; ladder.go: what helps where patience does not
//	serve.go       one session, from the dial to its end; probe.go: does the modem still answer?
//	path.go        who encodes MQTT: the module, or this program over the module's socket
//	pump.go        the two pumps; suspect.go: the message at which the broker ends the session
//	login.go       what a login needs, and what ends it
//	route.go       topic rules, pure
//	outbox*.go     the durable queue
//	local_side.go  the local side, of either kind: the embedded broker (local.go; its doc is at Local), or an existing
//	               one (local_broker.go)
//	loop.go        what would go round for ever
//	status.go      what a Bridge says of itself
package bridge
