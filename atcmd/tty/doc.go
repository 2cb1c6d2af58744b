// Package tty opens serial ports. It is the only importer of go.bug.st/serial and hides that library's traps:
//
//   - its Write does not notice that the port was closed, and may write into a file that reused the descriptor:
//     Port has a closed flag of its own, and one goroutine that writes;
//   - its Write has no deadline: Port gives up after WriteTimeout, with an error that names flow control;
//   - its exclusive mode does not hold against root, and any second open takes it away: Open also locks the node
//     with flock, which holds against everybody who asks;
//   - its read timeout returns (0, nil): Port never sets one, its Read blocks until a byte, the end, or Close;
//   - with a descriptor beyond 1023 it panics: Open refuses before it comes to that;
//   - its enumeration reprograms every ttyS port it finds: nothing here enumerates through it.
//
// A missing port, a busy one and one without permission are told apart, each with a sentence that says what to do.
package tty
