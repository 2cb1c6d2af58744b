package modems

import "github.com/atbridge/atbridge/atcmd"

// What the console knows of Quectel's commands, and of their results.

var quectelCommands = []KnownCommand{
	{"+QCCID", "number of the SIM"},
	{"+QCSQ", "signal quality, in detail"},
	{"+QENG=\"servingcell\"", "the cell in use"},
	{"+QFDEL=", "delete a file: \"NAME\""},
	{"+QFLST=\"*\"", "list the files"},
	{"+QFUPL=", "store a file: \"NAME\",SIZE"},
	{"+QIACT=1", "bring up the data connection"},
	{"+QIACT?", "data connections and their addresses"},
	{"+QICLOSE=", "close a socket: ID"},
	{"+QICSGP=1", "show the APN"},
	{"+QIDEACT=1", "take the data connection down"},
	{"+QIDNSGIP=1,", "resolve a name: 1,\"HOST\""},
	{"+QIGETERROR", "why the last TCP command failed"},
	{"+QINISTAT", "how far the SIM has started"},
	{"+QIOPEN=1,", "open a socket: 1,ID,\"TCP\",\"HOST\",PORT,0,1"},
	{"+QIRD=", "read from a socket: ID,LENGTH"},
	{"+QISEND=", "send over a socket: ID,LENGTH"},
	{"+QISTATE?", "state of the sockets"},
	{"+QLTS=2", "time of the network"},
	{"+QMTCFG=\"aliauth\",0", "show Aliyun's names"},
	{"+QMTCFG=\"keepalive\",0", "show the keep alive"},
	{"+QMTCLOSE=0", "close the connection to the broker"},
	{"+QMTCONN=0,", "MQTT CONNECT: 0,\"CLIENT\",\"USER\",\"PASSWORD\""},
	{"+QMTCONN?", "state of the MQTT session"},
	{"+QMTDISC=0", "MQTT DISCONNECT"},
	{"+QMTOPEN=0,", "connect to a broker: 0,\"HOST\",PORT"},
	{"+QMTOPEN?", "which broker it is connected to"},
	{"+QMTPUBEX=0,", "publish: 0,ID,QOS,RETAIN,\"TOPIC\",LENGTH"},
	{"+QMTRECV?", "messages that wait in the module"},
	{"+QMTSUB=0,", "subscribe: 0,ID,\"TOPIC\",QOS"},
	{"+QMTUNS=0,", "unsubscribe: 0,ID,\"TOPIC\""},
	{"+QNTP=1,", "set the clock: 1,\"SERVER\""},
	{"+QNWINFO", "network, band and channel"},
	{"+QPING=1,", "ping: 1,\"HOST\""},
	{"+QPOWD", "power the module off"},
	{"+QSIMSTAT?", "is a SIM inserted?"},
	{"+QURCCFG=\"urcport\"", "which port URCs come out of"},
}

var (
	qmtDone    = map[int]string{0: "done", -1: "failed"}
	qmtOpened  = map[int]string{0: "the network to the broker is open"}
	qmtClosed  = map[int]string{1: "closed by the server"}
	qmtConnack = map[int]string{0: "connected to the broker", 1: "the packet was sent again", 2: "the packet could not be sent"}
	qmtSent    = map[int]string{0: "the broker has it", 1: "sent again, no acknowledgement yet", 2: "it could not be sent"}
	qmtState   = map[int]string{1: "starting", 2: "connecting", 3: "connected", 4: "disconnecting"} // the answer to AT+QMTCONN?

	quectelSocketOpen = map[int]string{0: "the socket is open"}
	quectelSocketOver = map[string]string{
		"closed":   "the peer has closed the socket, or the network has failed",
		"pdpdeact": "the network has ended the data connection",
		"recv":     "data has come on the socket",
		"incoming": "somebody has connected",
	}
)

// quectelResults are from MQTT 3.2 and 3.3, TCP 2.3 and chapter 4, and AT 6.3.
var quectelResults = []Result{
	{"+QMTSTAT:", number(1, qmtClosed, qmtStatWords)},
	{"+QMTOPEN:", number(1, qmtOpened, qmtOpenWords)},
	{"+QMTCONN:", sayQMTConn},
	{"+QMTPUBEX:", number(2, qmtSent)},
	{"+QMTPUB:", number(2, qmtSent)},
	{"+QMTSUB:", sayGranted(2, 3, qmtSent)},
	{"+QMTUNS:", number(2, qmtSent)},
	{"+QMTDISC:", number(1, qmtDone)},
	{"+QMTCLOSE:", number(1, qmtDone)},
	{"+QMTPING:", number(1, map[int]string{1: "the broker does not answer PINGREQ"})},
	{"+QIOPEN:", number(1, quectelSocketOpen, quectelSocketWords)},
	{"+QIURC:", word(0, quectelSocketOver)},
	{"+QIGETERROR:", number(0, map[int]string{0: "no error"}, quectelSocketWords)},
	{"+QUSIM:", number(0, map[int]string{0: "a SIM", 1: "a USIM"})},
	{"+QSIMSTAT:", number(1, map[int]string{0: "no SIM is inserted", 1: "a SIM is inserted", 2: "not known"})},
	{"POWERED DOWN", just("the module has switched itself off")},
}

// sayQMTConn is for the URC (client, result, return code) and for the answer to AT+QMTCONN? (client, state), which has
// two fields.
func sayQMTConn(p atcmd.Params) string {
	if len(p) == 2 && p.Text(1) != "0" {
		return number(1, qmtState)(p)
	}
	return connack(1, 2, qmtConnack)(p)
}
