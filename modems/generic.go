package modems

// Generic drives any modem by 3GPP TS 27.007 alone: identity, SIM, registration, signal, and the commands that people
// type. It knows no MQTT stack and no socket.
const Generic = "generic"

func init() {
	Register(&Driver{
		Name:    Generic,
		Title:   "any other, by 27.007 alone: enough for `send` and to see it register, not for `run`",
		Checked: "documentation",
	})
}
