package modems

// usbModule is what is known of a vendor and product id. One id serves many models, so it names a port to try, never a
// driver.
type usbModule struct {
	models string
	at     int // the USB interface that takes AT commands; -1: sources differ, or none says
}

// usbModules: Quectel's are from quectel-CM (device.c), Linux drivers/usb/serial/option.c, and a list of ports of an
// EC600N with 2c7c:6002; the others from logs of machines that they were plugged into.
var usbModules = map[string]usbModule{
	"2c7c:6001": {"EC600S-CN (AA), EG912Y", 3},
	"2c7c:6002": {"EC600S-CN (LA, LB), EC600N, EC200S, EC800M, EG800K", 3},
	"2c7c:6005": {"EC200A", 3},
	"2c7c:6026": {"EC200T", 3},
	"2c7c:0901": {"EC200U, EC600U", 2},
	"1782:4e00": {"Air724UG, Air720U", -1},
	"19d1:0001": {"Air780E", -1},
	"3505:0001": {"NT26", -1},
}

// USBATInterface returns the number of the USB interface that takes AT commands; false: it is not known.
func USBATInterface(vid, pid string) (int, bool) {
	m, ok := usbModules[vid+":"+pid]
	return m.at, ok && m.at >= 0
}

// USBModels names the modules that have these ids; empty: they are not known.
func USBModels(vid, pid string) string { return usbModules[vid+":"+pid].models }

// USBURCPort is the name of a USB port in AT+QURCCFG; empty: the host is on the module's UART.
func USBURCPort(vid, pid string, iface int) string {
	n, ok := USBATInterface(vid, pid)
	switch {
	case !ok:
		return ""
	case iface == n:
		return "usbat"
	}
	return "usbmodem"
}
