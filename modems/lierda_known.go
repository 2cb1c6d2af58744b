package modems

import "github.com/atbridge/atbridge/atcmd"

// What the console knows of Lierda's commands, and of their results.

var lierdaCommands = []KnownCommand{
	{"+LCCID", "number of the SIM"},
	{"+LCELL?", "the cell in use"},
	{"+LGMR", "firmware: L and Q firmware have different commands"},
	{"+LMQTTCLOSE=0", "close the connection to the broker"},
	{"+LMQTTCONN=0,", "MQTT CONNECT: 0,\"CLIENT\",\"USER\",\"PASSWORD\""},
	{"+LMQTTCONN?", "state of the MQTT session"},
	{"+LMQTTDISC=0", "MQTT DISCONNECT"},
	{"+LMQTTOPEN=0,", "connect to a broker: 0,\"HOST\",PORT"},
	{"+LMQTTPUB=0,", "publish: 0,ID,QOS,RETAIN,\"TOPIC\",LENGTH"},
	{"+LMQTTSUBUNSUB=0,0,", "subscribe: 0,0,ID,\"TOPIC\",QOS"},
	{"+LMQTTSUBUNSUB=0,1,", "unsubscribe: 0,1,ID,\"TOPIC\""},
}

var lierdaResults = []Result{
	{"+LMQTTOPEN:", func(p atcmd.Params) string {
		if why := number(2, lierdaOpenWords)(p); why != "" {
			return why
		}
		return number(1, qmtOpened, lierdaOpenWords)(p)
	}},
	{"+LMQTTCONN:", sayQMTConn},
	{"+LMQTTPUB:", number(2, qmtSent)},
	{"+LMQTTSUBUNSUB:", number(2, map[int]string{0: "done", 1: "failed"})},
	{"+LMQTTDISC:", number(1, qmtDone)},
	{"+LMQTTCLOSE:", number(1, qmtDone)},
	{"+LMQTTURC:", func(p atcmd.Params) string {
		if p.Text(0) != "STATS" {
			return ""
		}
		return number(2, qmtClosed, lierdaStatWords)(p)
	}},
}
