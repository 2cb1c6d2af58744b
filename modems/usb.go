package modems

// usbAT is the USB interface that takes AT commands, by vendor and product id. One product id serves many models, so
// it names a port to try, never a driver. Sources: Quectel's quectel-CM (device.c), Linux drivers/usb/serial/option.c,
// and a list of ports of an EC600N with 2c7c:6002.
var usbAT = map[string]int{
	"2c7c:6001": 3, // EC600S-CN (AA), EG912Y
	"2c7c:6002": 3, // EC600S-CN (LA, LB), EC600N, EC200S, EC800M, EG800K
	"2c7c:6005": 3, // EC200A
	"2c7c:6026": 3, // EC200T
	"2c7c:0901": 2, // EC200U, EC600U
}

// USBATInterface returns the number of the USB interface that takes AT commands; false: the ids are not known.
func USBATInterface(vid, pid string) (int, bool) {
	n, ok := usbAT[vid+":"+pid]
	return n, ok
}

// USBURCPort is the name of a USB port in AT+QURCCFG; empty: the host is on the module's UART.
func USBURCPort(vid, pid string, iface int) string {
	n, ok := usbAT[vid+":"+pid]
	switch {
	case !ok:
		return ""
	case iface == n:
		return "usbat"
	}
	return "usbmodem"
}
