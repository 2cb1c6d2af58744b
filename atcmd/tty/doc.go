// Package tty opens serial ports. It is the only importer of go.bug.st/serial, which configures the port here and keeps
// it exclusive. No byte goes through that library, because its traps are there:
//
//   - its Write does not notice that the port was closed, and may write into a file that reused the descriptor; it has
//     no deadline, and its Close leaves a blocked Write blocked;
//   - its Read panics with a descriptor beyond 1023, and its read timeout returns (0, nil);
//   - its exclusive mode does not hold against root, and any second open takes it away: Open also locks the node
//     with flock, which holds against everybody who asks;
//   - its enumeration reprograms every ttyS port it finds: List reads sysfs instead.
//
// Reading and writing go through a descriptor of our own on the same node, opened before the library's, with the
// runtime's poller behind it: deadlines work, Close wakes who waits, and no thread is spent on a silent port.
// It knows no RTS/CTS, and keeps the setting that SetRTSCTS makes through this descriptor.
//
// A missing port, a busy one and one without permission are told apart, each with a sentence that says what to do.
package tty
