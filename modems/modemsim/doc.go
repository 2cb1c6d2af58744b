// Package modemsim is a cellular modem that needs no radio, no SIM and no desk:
// a wire-exact simulated module on a pseudo-terminal, with a real TCP or TLS way
// out, a line that is as slow as a real one, and faults on request.
//
// It was written from the makers' manuals and public logs alone. It shares no
// parser, no formatter and no table with the drivers, and must not: two readings
// of the same manual find the mistakes that one reading repeats.
//
// # The way of a byte
//
//	host ─ /dev/pts/N ─ read ─ receive ══ rx ══╗          ╔══ events ══ link ─ broker
//	                           (paced)         ╠═ run ════╣
//	host ─ /dev/pts/N ──────── transmit ══ tx ═╝  (dce)   ╚══ timers
//	                           (paced)
//
// Each ═ is a channel. One goroutine, run, owns the module's whole state (type
// dce and what hangs on it); nothing in there is locked. Two goroutines imitate
// the two wires of the UART, each against an absolute schedule of its own.
// Each connection to a broker has a reader and a writer, which post functions
// for run to call.
//
// # Time
//
// The state machine lives in the time of the line, not in that of the scheduler:
// a byte is handled as of the moment its stop bit would have ended (dce.now), and
// what it causes is put on the schedule of the other wire as of that moment. So a
// goroutine that is woken 50 µs late does not make the module 50 µs slower: the
// next piece catches up. Stats reports what error is left.
//
// # The files
//
//	sim.go, stats.go                    Start, Close, the goroutine that owns the module
//	pty_linux.go, pace.go, clock.go     the pseudo-terminal, the two wires, the timers
//	line.go, parse.go, output.go        V.250: command lines, data phases, result codes
//	v250.go, general.go, network.go     V.250 and 27.007 commands that any module has
//	ec600.go, quectel_*.go              what is Quectel's
//	mqttlink.go, faraway.go             the way out: dial, TLS, MQTT packets, round-trip time
//	fault.go                            every knob, with the sentence that explains it
//
// A model is one file that registers itself in models (see ec600.go): an identity,
// a table of commands, a boot sequence and the times of its fact sheet.
//
// # Faults
//
// Config.Faults takes specs of the form name or name=value; Faults lists them.
// Counts such as wedge=20 count publishes that the module accepted with OK since
// Start, over all its reboots, so that a fault strikes once.
package modemsim
