package modems

import (
	"fmt"
	"strconv"
	"strings"
)

// Table is the table of modems in Markdown, a row for each firmware flavour of each driver.
func Table() string {
	var b strings.Builder
	b.WriteString("| modem | driver | flavour | native MQTT | topic, payload, window | TLS on the module | TCP sockets | checked against |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|\n")
	for _, d := range registry {
		flavours := d.Flavours
		if len(flavours) == 0 {
			flavours = []*Driver{d}
		}
		for _, f := range flavours {
			native, limits, tls := "no", "", ""
			if f.MQTT != nil {
				l := f.MQTT.Limits()
				native, limits = "yes", fmt.Sprintf("%d B, %d B, %d", l.Topic, l.Payload, l.Window)
				tls = f.TLS
			}
			sockets := "no"
			if f.Socket != nil {
				sockets = strconv.Itoa(f.Socket.Sockets())
			}
			fmt.Fprintf(&b, "| %s | `%s` | %s | %s | %s | %s | %s | %s |\n", f.Title, d.Name, f.Flavour, native, limits, tls, sockets, f.Checked)
		}
	}
	return b.String()
}
