// Package control is the daemon's own door: HTTP over a Unix socket for the atbridge command, and, where the
// configuration names an address, over TCP for monitoring.
//
//	GET  /healthz      200 while a session with the broker stands, 503 with the reason while not
//	GET  /api/status   bridge.Status as JSON
//	GET  /metrics      Prometheus text
//	POST /api/send     modems.SendRequest; only through the socket: who may open it may use the modem
//
// The socket is 0660. Its group is the group of its directory where that can be set: systemd makes the directory.
package control
