package modemsim

import (
	"fmt"
	"time"
)

// quectel is what the Quectel family adds to 27.007: its PDP contexts, TLS contexts and
// MQTT clients (TCP/IP AN V1.2, MQTT AN V1.0).
type quectel struct {
	*general
	pdp      map[int]bool // activated by AT+QIACT or by a client that needed it
	dns      [2]string
	qisde    int
	lastErr  int
	tls      [6]map[string]string // AT+QSSLCFG, by context
	clients  [6]*client
	sockets  sockets
	asked    int // publishes, for the fault pubex-error
	verdicts int // publish results, for the fault drop-urc
	uploads  int // for the fault bad-sum
}

func newQuectel(g *general) *quectel {
	q := &quectel{general: g, pdp: map[int]bool{}, dns: [2]string{"202.106.0.20", "114.114.114.114"}, qisde: 1}
	for i := range q.clients {
		q.clients[i] = newClient(q, i)
		q.tls[i] = map[string]string{}
	}
	q.sockets.init(q)
	g.onLoss = q.networkLost
	return q
}

func (q *quectel) commands() map[string]command {
	return merge(q.sockets.commands(), q.files(), q.publisher(), map[string]command{
		"+QICSGP":     {set: q.qicsgp, test: `(1-15),(1-3),"APN","username","password",(0-2)`},
		"+QIACT":      {read: q.qiactRead, set: q.qiact, test: "(1-15)"},
		"+QIDEACT":    {set: q.qideact, test: "(1-15)"},
		"+QIDNSCFG":   {set: q.qidnscfg, test: `(1-15),"pridnsaddr","secdnsaddr"`},
		"+QISDE":      q.number("+QISDE", &q.qisde, 1),
		"+QIGETERROR": {exec: q.qigeterror, test: noText},
		"+QSSLCFG":    {set: q.qsslcfg, test: noText},
		"+QMTCFG":     {set: q.qmtcfg, list: q.qmtcfgList},
		"+QMTOPEN":    {read: q.qmtopenRead, set: q.qmtopen, test: `(0-5),"hostname",(1-65535)`},
		"+QMTCLOSE":   {set: q.qmtclose, test: "(0-5)"},
		"+QMTCONN":    {read: q.qmtconnRead, set: q.qmtconn, test: `(0-5),"clientid","username","password"`},
		"+QMTDISC":    {set: q.qmtdisc, test: "(0-5)"},
		"+QMTSUB":     {set: q.qmtsub, test: `(0-5),<msgid>,list of ["topic",qos]`},
		"+QMTUNS":     {set: q.qmtuns, test: `(0-5),<msgid>,list of ["topic"]`},
		"+QMTRECV":    {read: q.qmtrecvRead, set: q.qmtrecv, test: noText},
	})
}

// qicsgp is AT+QICSGP (TCP/IP AN V1.2, 2.2.1). Contexts are saved automatically.
func (q *quectel) qicsgp(a *args) reply {
	cid := a.num(1, 15)
	if a.end() {
		c := q.nvm.contexts[cid]
		if c == nil {
			c = &pdpContext{kind: 1}
		}
		q.info(`+QICSGP: %d,"%s","%s","%s",%d`, c.kind, c.apn, c.user, c.pass, c.auth)
		return q.tcp(tcpOK)
	}
	c := pdpContext{kind: a.num(1, 3), apn: a.str(0, 100)}
	if a.more() {
		c.user, c.pass = a.str(0, 127), a.str(0, 127)
	}
	if a.more() {
		c.auth = a.num(0, 3)
	}
	if a.more() {
		a.num(0, 1) // CDMA password: of no use here
	}
	if !a.end() || cid == 0 {
		return q.tcp(tcpInvalid)
	}
	q.nvm.contexts[cid] = &c
	return q.tcp(tcpOK)
}

// maxActive is how many contexts may be up at once (TCP/IP AN V1.2, 2.2.2).
const maxActive = 3

// qiact is AT+QIACT. A context that is active already is an error (logs L2 and L5).
func (q *quectel) qiact(a *args) reply {
	cid := a.num(1, 15)
	switch {
	case !a.end():
		return q.tcp(tcpInvalid)
	case q.f.qiactHang:
		q.after(150*time.Second, func() { q.finish(q.tcp(tcpPDPOpen)) })
		return pending
	case q.f.qiactError || q.pdp[cid] || len(q.pdp) >= maxActive || q.nvm.contexts[cid] == nil || !q.registered():
		return q.tcp(tcpPDPOpen)
	}
	q.pdp[cid] = true
	return q.tcp(tcpOK)
}

func (q *quectel) qiactRead() reply {
	for cid := 1; cid <= 15; cid++ {
		if q.pdp[cid] {
			q.info(`+QIACT: %d,1,%d,"%s"`, cid, q.nvm.contexts[cid].kind, address)
		}
	}
	return q.tcp(tcpOK)
}

// qideact takes the context's connections with it. On an idle context it is OK: a public
// driver relies on that.
func (q *quectel) qideact(a *args) reply {
	cid := a.num(1, 15)
	if !a.end() {
		return q.tcp(tcpInvalid)
	}
	delete(q.pdp, cid)
	q.stale = false
	q.contextLost(cid)
	return q.tcp(tcpOK)
}

func (q *quectel) qidnscfg(a *args) reply {
	cid := a.num(1, 15)
	if a.bad || !q.pdp[cid] {
		return q.tcp(tcpInvalid) // the context must be active
	}
	if a.end() {
		q.info(`+QIDNSCFG: %d,"%s","%s"`, cid, q.dns[0], q.dns[1])
		return q.tcp(tcpOK)
	}
	for i := range q.dns {
		if a.more() {
			q.dns[i] = a.str(1, 64)
		}
	}
	if !a.end() {
		return q.tcp(tcpInvalid)
	}
	return q.tcp(tcpOK)
}

// contextLost ends the clients and the sockets that used a context.
func (q *quectel) contextLost(cid int) {
	q.sockets.contextLost(cid)
	for _, c := range q.clients {
		if c.state != clientClosed && c.ints["pdpcid"][0] == cid {
			c.lost(1)
		}
	}
}

// pdpLost is the network dropping a context (TCP/IP AN V1.2, 2.3).
func (q *quectel) pdpLost(cid int) {
	if !q.pdp[cid] {
		return
	}
	delete(q.pdp, cid)
	q.urc(fmt.Sprintf(`+QIURC: "pdpdeact",%d`, cid))
	q.contextLost(cid)
}

func (q *quectel) networkLost() {
	for cid := 1; cid <= 15; cid++ {
		q.pdpLost(cid)
	}
}

// drop is a power failure: the connections break and nothing is said.
func (q *quectel) drop() {
	for _, c := range q.clients {
		c.unlink()
	}
	q.sockets.drop()
}
