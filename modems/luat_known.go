package modems

// What the console knows of AirM2M's commands, and of their results.

var luatCommands = []KnownCommand{
	{"+CCID", "number of the SIM, bare"},
	{"+CIFSR", "address of the data connection"},
	{"+CIICR", "bring up the data connection"},
	{"+CIPCLOSE", "close the connection"},
	{"+CIPSEND=", "send over the connection: LENGTH"},
	{"+CIPSHUT", "take everything down"},
	{"+CIPSTART=", "connect: \"TCP\",\"HOST\",PORT"},
	{"+CIPSTATUS", "state of the connections"},
	{"+CSTT", "set the APN: empty, or \"APN\",\"USER\",\"PASSWORD\""},
	{"+ICCID", "number of the SIM"},
	{"+MCONFIG=", "MQTT client: \"CLIENT\",\"USER\",\"PASSWORD\""},
	{"+MCONNECT=", "MQTT CONNECT: CLEAN,KEEPALIVE"},
	{"+MDISCONNECT", "MQTT DISCONNECT"},
	{"+MIPCLOSE", "close the connection to the broker"},
	{"+MIPSTART=", "connect to a broker: \"HOST\",PORT"},
	{"+MPUB=", "publish: \"TOPIC\",QOS,RETAIN,\"TEXT\""},
	{"+MPUBEX=", "publish: \"TOPIC\",QOS,RETAIN,LENGTH"},
	{"+MQTTMODE?", "0 text, 1 hexadecimal"},
	{"+MQTTMSGSET?", "0 messages come at once, 1 they wait in the module"},
	{"+MQTTSTATU", "state of the MQTT session"},
	{"+MSUB=", "subscribe: \"TOPIC\",QOS"},
	{"+MUNSUB=", "unsubscribe: \"TOPIC\""},
	{"+RESET", "restart the module"},
	{"+SAPBR=2,1", "state of the bearer for HTTP"},
	{"+SSLMIPSTART=", "connect to a broker with TLS: \"HOST\",PORT"},
	{"+VER", "firmware"},
}

var luatResults = []Result{
	{"+MQTTSTATU :", number(0, luatStatus)},
	{"+MQTTSTATU:", number(0, luatStatus)},
	{"CONNECT OK", just("the connection is open")},
	{"CONNECT FAIL", just("nobody answers there, or the network has failed")},
	{"ALREADY CONNECT", just("a connection of that number stands already")},
	{"CONNACK OK", just("connected to the broker")},
	{"SUBACK", just("subscribed")},
	{"UNSUBACK", just("unsubscribed")},
	{"PUBACK", just("the broker has it")},
	{"PUBCOMP", just("the broker has it")},
	{"CLOSED", just("the connection was closed")},
	{"+PDP: DEACT", just("the network has ended the data connection")},
	{"NORMAL POWER DOWN", just("the module has switched itself off")},
}

var luatStatus = map[int]string{0: "offline", 1: "connected to the broker", 2: "the network to the broker is open; AT+MCONNECT comes next"}
