package modems

import "github.com/atbridge/atbridge/atcmd"

// What the console knows of the ML307's commands, and of their results.

var ml307Commands = []KnownCommand{
	{"+MCCID", "number of the SIM"},
	{"+MIPCALL=1,1", "bring up the data connection"},
	{"+MIPCALL?", "address of the data connection"},
	{"+MQTTCONN=0,", "connect to a broker: 0,\"HOST\",PORT,\"CLIENT\",\"USER\",\"PASSWORD\""},
	{"+MQTTDISC=0", "MQTT DISCONNECT"},
	{"+MQTTPUB=0,", "publish: 0,\"TOPIC\",QOS,RETAIN,DUP,LENGTH"},
	{"+MQTTSTATE=0", "state of the MQTT session"},
	{"+MQTTSUB=0,", "subscribe: 0,\"TOPIC\",QOS"},
	{"+MQTTUNSUB=0,", "unsubscribe: 0,\"TOPIC\""},
	{"+MREBOOT", "restart the module"},
}

var ml307Results = []Result{
	{"+MQTTURC:", func(p atcmd.Params) string {
		switch p.Text(0) {
		case "conn":
			if p.Text(2) == "0" {
				return "connected to the broker"
			}
			return ml307ConnWords[p.Text(2)]
		case "puback", "pubcomp":
			return "the broker has it"
		case "timeout":
			return "no acknowledgement in time"
		}
		return ""
	}},
	{"+MIPCALL:", number(1, map[int]string{0: "the network has ended the data connection", 1: "the data connection is up"})},
	{"+MATREADY", just("the module has started")},
}
