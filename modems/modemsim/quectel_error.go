package modemsim

// Errors of the TCP/IP stack (TCP/IP AN V1.2), as +QIOPEN, +QPING, "dnsgip" and AT+QIGETERROR tell them.
const (
	tcpOK           = 0
	tcpInvalid      = 552
	tcpNotSupported = 555
	tcpListen       = 557
	tcpWrite        = 558
	tcpPDPOpen      = 561
	tcpUsed         = 563
	tcpDNS          = 565
	tcpConnect      = 566
	tcpClosed       = 567
	tcpTimeout      = 569
	tcpPDPBroken    = 570
	tcpCancelled    = 571
)

// tcpErrors is what AT+QIGETERROR calls them.
var tcpErrors = map[int]string{
	0: "operate successfully", 550: "unknown error", 551: "operation blocked", 552: "invalid parameters",
	553: "memory not enough", 554: "create socket failed", 555: "operation not supported", 556: "socket bind failed",
	557: "socket listen failed", 558: "socket write failed", 559: "socket read failed", 560: "socket accept failed",
	561: "open PDP context failed", 562: "close PDP context failed", 563: "socket identity has been used",
	564: "DNS busy", 565: "DNS parse failed", 566: "socket connect failed", 567: "socket has been closed",
	568: "operation busy", 569: "operation timeout", 570: "PDP context broken down", 571: "cancel send",
	572: "operation not allowed", 573: "APN not configured", 574: "port busy",
}

// tcp ends a TCP/IP command: QIGETERROR tells of the last one, whichever it was.
func (q *quectel) tcp(err int) reply {
	q.lastErr = err
	if err != tcpOK {
		return failed
	}
	return okay
}

func (q *quectel) qigeterror() reply {
	text, known := tcpErrors[q.lastErr]
	if !known {
		text = tcpErrors[550]
	}
	q.info("+QIGETERROR: %d,%s", q.lastErr, text)
	return okay
}
