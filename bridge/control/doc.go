// Package control is the daemon's own door: HTTP over a Unix socket for the atbridge command, and, where the
// configuration names an address, over TCP for people and monitoring.
//
//	GET  /             the page for people, on the address alone
//	GET  /healthz      200 while a session with the broker stands, 503 with the reason while not
//	GET  /api/status   bridge.Status as JSON
//	GET  /metrics      Prometheus text
//
// On the address they are for whoever calls this machine by a name that no stranger can own: see guard.
//
// And only through the socket, for who may open it may use the modem and read the messages:
//
//	POST   /api/send       modems.SendRequest
//	GET    /api/queue      a Queued on each line, an empty one at the end; with their payloads: ?payload=true
//	GET    /api/queue/ID   one Queued with its payload; 410 where there is none
//	DELETE /api/queue/ID   drops it; 409 while it is being sent
//	GET    /api/info       modems.Info of the modem, asked between the bridge's own commands
//	GET    /api/watch      modems.Event, one JSON object a line, as they happen; with ?wire=1 the bytes as well
//	POST   /api/pub        Message: publishes it on the session that stands, and answers when the broker has it
//	GET    /api/sub        ?filter=F&qos=Q: subscribes, and streams each Message as a JSON object a line
//
// The socket is 0660. Its group is the group of its directory where that can be set: systemd makes the directory.
package control
