// Command atbridge: the modem's UART goes in, a broker comes out, and nothing that was accepted is lost on the way.
//
// This package is the only place that knows every other one. It holds no protocol; it reads what the user wants
// and hands it on.
//
//   - root.go: the common flags and the list of subcommands, one file each.
//   - config.go and config_*.go: the configuration, from YAML text to checked values. A flag wins over the
//     environment, that over the file, that over the default.
//   - config_platforms.go, config_login.go, login.go: platforms, from their keys to a session; conventions.go: what they
//     want of messages beyond MQTT.
//   - attach.go, direct.go: the way to the modem, and to the broker, for the commands of a person's hand: through the
//     daemon that holds it, or by themselves.
//   - console*.go, doctor*.go: the commands that take more than one file.
//   - exit.go: the one place where an error becomes an exit code.
package main
