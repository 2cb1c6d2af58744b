// Package modemtest is the suite that every driver must pass. It finds the drivers by their registration, pairs each
// with the simulator of the same name, and talks through a pseudo-terminal and a real serial port library to a real
// MQTT broker. A driver whose module nobody has simulated yet must have a transcript of it, which its own test plays.
//
// The simulators were written from the fact sheets apart from the drivers, and share no parser and no formatter with
// them: what both agree on is what the sheets say, and no more than that.
package modemtest
