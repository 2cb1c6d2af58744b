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
//	discipline.go                       where a family's line differs
//	v250.go, general.go, network.go     V.250 and 27.007 commands that any module has
//	ec600.go, quectel_*.go              what is Quectel's
//	air724ug.go, luat_*.go              what is AirM2M's
//	mqttlink.go, stream.go, tls.go,
//	reach.go, faraway.go                the way out: dial, TLS, MQTT packets, bytes, a cut, round-trip time
//	fault.go                            every knob, with the sentence that explains it
//	live.go                             what can happen to a module that runs
//
// A model is one file that registers itself in models (see ec600.go): an identity,
// a table of commands, a boot sequence and the times of its fact sheet.
//
// # What is not known
//
// Where manuals and logs leave a question open, the simulator takes the answer that is
// hardest on a driver and the files say so; what both answers are known for is a knob.
// Of the Air724UG nobody has written down the order of its boot, what becomes of a
// publish while another waits for PUBACK (here: +CME ERROR: 767), whether more than four
// escapes work in AT+MPUB (here: not), and whether its limit of 2384 bytes counts them as
// typed (here: yes). Transparent sockets (AT+CIPMODE=1) are not simulated.
//
// Of Quectel's TLS nobody has written down whether the name in a server's certificate is
// looked at (here: yes, with "sni" or without), whether AT+QSSLCFG outlives a reboot (here:
// not; the files do), and how "psk" is written (here: not at all). What AT+QMTPUB answers to
// ESC is not known either (here: ERROR). Files cannot be read or written by handle, and "+++"
// is nothing but bytes of the file.
//
// Of Quectel's sockets it is not known what AT+QIOPEN says without a context (here: 561 in +QIOPEN), what AT+QISEND
// answers after ESC or when the other side closed meanwhile (here: ERROR, with 571 and 567 in AT+QIGETERROR), whether
// data outlives the other side's closing (here: until AT+QICLOSE), and what is said of the sockets of a context that
// is lost (here: nothing). Transparent mode and UDP SERVICE are refused with ERROR and 555; AT+QPING asks nobody.
//
// # Faults
//
// Config.Faults takes specs of the form name or name=value; Faults lists them, with what
// they mean on a model whose dialect has other words. A fault that means nothing on a model
// is refused there. Counts such as wedge=20 count publishes that the module accepted with
// OK since Start, over all its reboots, so that a fault strikes once; what a socket was
// given to send counts too.
//
// What is wrong from the start, or after so many publishes, is a knob; what happens now is a method of Sim: Reset,
// Wedge, WedgeMQTT, LosePDP, SetCoverage, SetSIM, CutNetwork, SetBootBaud, Noise, Unplug, UnplugPower, Replug. A
// reboot mends what it would mend on a desk: a hang, and a context that is up in name only; coverage, card and cable
// stay as they are. Which commands a hung MQTT stack refuses is not known for any family: Quectel's and Lierda's
// accept all of them here, and AirM2M's refuses to close.
package modemsim
