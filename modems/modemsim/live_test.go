package modemsim

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// unheard insists that a connection of the broker stays open and brings nothing.
func (f *fake) unheard(d time.Duration) {
	f.t.Helper()
	f.conn.SetReadDeadline(time.Now().Add(d))
	if p, err := readPacket(f.r); !errors.Is(err, os.ErrDeadlineExceeded) {
		f.t.Fatalf("got %v, %v where nothing should come", p, err)
	}
}

const while = 80 * time.Millisecond

// A wedged module takes bytes and says nothing, whatever it was doing; its connection stands. Reset ends it, and what
// was typed meanwhile is forgotten.
func TestWedge(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	h := start(t, Config{Map: f.mapped(), Faults: []string{"echo=off"}})
	f.online(h)
	h.offer(1, 1, "t", "x")
	h.expect(isOK)
	p := next[*packets.PublishPacket](f)
	h.sim.Wedge()
	f.puback(p.MessageID)
	f.publish(7, 1, "t", "down")
	h.send("AT\rAT+CSQ\rAT+QMTCLOSE=0\r")
	h.sim.Inject("+URC: 1")
	h.silent(while)
	f.unheard(while)
	h.sim.Reset()
	h.expect(banner)
	f.gone()
	h.ask("AT", isOK)

	h.send("AT+COPS=?\r") // a command is running, and input waits
	h.sim.Wedge()
	h.garbage(0)
	h.send("AT\r")
	h.sim.Reset()
	h.expect(banner)
	h.ask("AT", isOK)
}

// A stack that hangs accepts commands, and nothing comes of them; the rest of the module is well. A reboot mends it.
func TestWedgeMQTT(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	h := start(t, Config{Map: f.mapped(), Faults: []string{"echo=off"}})
	h.ask(`AT+QMTCFG="timeout",0,1,0,0`, isOK) // one that is well would say so after a second
	f.online(h)
	h.offer(1, 1, "t", "x")
	h.expect(isOK)
	p := next[*packets.PublishPacket](f)
	if err := h.sim.WedgeMQTT(); err != nil {
		t.Fatal(err)
	}
	f.puback(p.MessageID)
	h.offer(2, 1, "t", "x")
	h.expect(isOK)
	h.ask(`AT+QMTSUB=0,3,"t",1`, isOK)
	h.ask("AT+QMTDISC=0", isOK)
	h.ask("AT+QMTCLOSE=0", isOK)
	h.ask(`AT+QMTOPEN=0,"broker",1883`, isOK)
	h.ask("AT+QIDEACT=1", isOK)
	h.silent(1200 * time.Millisecond)
	f.unheard(while)
	h.ask("AT+QMTCONN?", urc("+QMTCONN: 0,3")+isOK)
	h.ask("AT+CSQ", urc("+CSQ: 28,99")+isOK)
	h.ask("AT+CFUN=1,1", isOK+banner)
	f.gone()
	f.online(h)
}

func TestWedgeMQTTElsewhere(t *testing.T) {
	t.Parallel()
	h, b := air(t)
	h.sim.WedgeMQTT()
	h.airOffer(1, "t", "x")
	h.expect(isOK)
	h.ask("AT+MIPCLOSE", urc("+CME ERROR: 767"))
	h.ask("AT+MDISCONNECT", urc("+CME ERROR: 767"))
	h.ask(`AT+MSUB="t",1`, isOK)
	h.ask(`AT+MIPSTART="broker",1883`, isOK)
	h.silent(while)
	h.ask("AT+MQTTSTATU", urc("+MQTTSTATU :1")+isOK)
	h.ask("AT+RESET", isOK)
	h.airBoots()
	h.airConnect()
	if len(b.got) > 0 {
		t.Error("it arrived")
	}

	h, b = nt(t)
	h.sim.WedgeMQTT()
	h.ask(ntPublish(1), isOK)
	h.ask("AT+LMQTTCLOSE=0", isOK)
	h.ask(ntOpen, isOK)
	h.silent(while)
	h.ask("AT+LMQTTCONN?", urc("+LMQTTCONN: 0,3")+isOK)
	h.ask("AT+ECRST", isOK+ntROM+urc("+CPIN: READY"))
	h.ask(ntOpen, isOK+urc("+LMQTTOPEN: 0,0"))
	if len(b.got) > 0 {
		t.Error("it arrived")
	}

	if err := bare(t, "no-mqtt").sim.WedgeMQTT(); err == nil {
		t.Error("there is no stack, and it hangs")
	}
}

// The module believes in a context that is gone, until it is deactivated.
func TestLosePDP(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	h := start(t, Config{Map: f.mapped(), Faults: []string{"echo=off"}})
	h.ask(`AT+QMTCFG="timeout",0,1,0,0`, isOK)
	f.online(h)
	if err := h.sim.LosePDP(); err != nil {
		t.Fatal(err)
	}
	h.offer(1, 1, "t", "x")
	h.expect(isOK + urc("+QMTPUBEX: 0,1,2"))
	f.unheard(while)
	h.ask("AT+QIACT?", urc(`+QIACT: 1,1,1,"10.7.157.1"`)+isOK)
	h.ask("AT+QMTCLOSE=0", isOK+urc("+QMTCLOSE: 0,0"))
	h.ask(`AT+QMTOPEN=0,"broker",1883`, isOK+urc("+QMTOPEN: 0,-1"))
	h.ask(`AT+QIOPEN=1,0,"TCP","broker",1883`, isOK+urc("+QIOPEN: 0,566"))
	h.ask("AT+QIDEACT=1", isOK)
	h.ask("AT+QIACT=1", isOK)
	f.online(h)

	h, _ = air(t)
	h.sim.LosePDP()
	h.airOffer(1, "t", "x")
	h.expect(isOK)
	h.silent(while)
	h.ask("AT+MIPCLOSE", isOK)
	h.ask(`AT+MIPSTART="broker",1883`, isOK+urc("STATE: IP INITIAL")+urc("CONNECT FAIL"))
	h.ask("AT+CIPSHUT", urc("SHUT OK"))
	h.airConnect()

	h, _ = nt(t)
	h.sim.LosePDP()
	h.ask("AT+LMQTTCLOSE=0", isOK+urc("+LMQTTCLOSE: 0,0"))
	h.ask(ntOpen, isOK+urc("+LMQTTOPEN: 0,-1,1"))
	h.ask("AT+CGACT=0,1", isOK)
	h.ask("AT+CGACT=1,1", isOK)
	h.ask(ntOpen, isOK+urc("+LMQTTOPEN: 0,0"))
}

// Without coverage nothing is registered, and what hung on the network is gone in the words of the family.
func TestCoverage(t *testing.T) {
	t.Parallel()
	h, _ := faulty(t)
	h.ask("AT+CEREG=1", isOK)
	h.sim.SetCoverage(false)
	h.expect(urc("+CEREG: 2") + urc(`+QIURC: "pdpdeact",1`) + urc("+QMTSTAT: 0,1"))
	h.sim.SetCoverage(false) // nothing new
	h.ask("AT+CEREG?", urc("+CEREG: 1,2")+isOK)
	h.ask("AT+CSQ", urc("+CSQ: 99,99")+isOK)
	h.ask("AT+QIACT=1", isError)
	h.ask(`AT+QMTOPEN=0,"broker",1883`, isOK+urc("+QMTOPEN: 0,3"))
	h.ask("AT+CFUN=1,1", isOK+banner)
	h.ask("AT+CEREG?", urc("+CEREG: 0,2")+isOK) // it is still not there
	h.ask("AT+CEREG=1", isOK)
	h.sim.SetCoverage(true)
	h.expect(urc("+CEREG: 1"))
	h.ask("AT+CSQ", urc("+CSQ: 28,99")+isOK)
	h.connect()

	h, _ = air(t)
	h.sim.SetCoverage(false)
	h.expect(urc("+PDP: DEACT"))
	h.ask("AT+CEREG?;+CSQ", urc("+CEREG: 0,2")+urc("+CSQ: 99,99")+isOK)
	h.ask(`AT+MIPSTART="broker",1883`, isOK+urc("STATE: PDP DEACT")+urc("CONNECT FAIL"))
	h.sim.SetCoverage(true)
	h.airRest()
	h.ask("AT+CIPSHUT", urc("SHUT OK"))
	h.airConnect()

	h, _ = nt(t)
	h.sim.SetCoverage(false)
	h.expect(urc("+LMQTTURC: STATS,0,11"))
	h.ask(ntOpen, isOK+urc("+LMQTTOPEN: 0,-1,3"))
	h.sim.SetCoverage(true)
	h.ask(ntOpen, isOK+urc("+LMQTTOPEN: 0,0"))
}

// A SIM card that is pulled takes the registration with it; one that is put back asks for its PIN.
func TestSIMCard(t *testing.T) {
	t.Parallel()
	h, _ := faulty(t)
	h.sim.SetSIM(false)
	h.expect(urc("+CPIN: NOT READY") + urc(`+QIURC: "pdpdeact",1`) + urc("+QMTSTAT: 0,1"))
	h.ask("AT+CPIN?", urc("+CME ERROR: 10"))
	h.ask("AT+CEREG?", urc("+CEREG: 0,0")+isOK)
	h.sim.SetSIM(true)
	h.expect(urc("+CPIN: READY") + urc("+QUSIM: 1") + urc("+QIND: SMS DONE") + urc("+QIND: PB DONE"))
	h.connect()

	h = airOff(t, "", "pin=1234")
	h.ask("AT+CPIN=1234", isOK+urc("+CPIN: READY"))
	h.airRest()
	h.sim.SetSIM(false)
	h.expect(urc("+CPIN: SIM REMOVED"))
	h.sim.SetSIM(true)
	h.expect(urc("+CPIN: SIM PIN"))
	h.ask("AT+CIMI", urc("+CME ERROR: 11"))

	h, _ = nt(t)
	h.sim.SetSIM(false)
	h.expect(urc("+LMQTTURC: STATS,0,11")) // no other URC is known
	h.ask("AT+CPIN?", urc("+CME ERROR: 10"))
}

// A cut network swallows both ways, and closes nothing; what is dialled meanwhile gets through when it is over.
func TestCutNetwork(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	h := start(t, Config{Map: f.mapped(), RTT: 2 * time.Millisecond, Faults: []string{"echo=off"}})
	h.ask(`AT+QMTCFG="timeout",0,1,0,0`, isOK)
	f.online(h)
	h.sim.CutNetwork(true)
	h.offer(1, 1, "t", "x")
	f.publish(7, 1, "t", "down")
	h.expect(isOK + urc("+QMTPUBEX: 0,1,2"))
	f.unheard(while)
	f.conn.Close()
	h.silent(while)
	h.ask("AT+QMTCONN?", urc("+QMTCONN: 0,3")+isOK)
	h.ask("AT+QMTCLOSE=0", isOK+urc("+QMTCLOSE: 0,0"))
	h.ask(`AT+QMTOPEN=0,"broker",1883`, isOK)
	h.silent(while)
	h.sim.CutNetwork(false)
	f.accept()
	h.expect(urc("+QMTOPEN: 0,0"))
}

// What goes into a cut is not acknowledged, so that a socket's buffer fills.
func TestCutSocket(t *testing.T) {
	t.Parallel()
	h, p := knobbed(t, pushed, "send-buffer=6")
	h.sim.CutNetwork(true)
	for _, answer := range []string{"SEND OK", "SEND FAIL"} {
		h.qisend(0, "abcd", urc("%s", answer))
	}
	h.ask("AT+QISEND=0,0", urc("+QISEND: 4,0,4")+isOK)
	p.write("down")
	h.silent(while)
}

// The rate of the next boot is that of the module alone.
func TestBootBaud(t *testing.T) {
	t.Parallel()
	h := start(t, Config{Baud: 115200, Faults: []string{"echo=off"}})
	if err := h.sim.SetBootBaud(9600); err != nil {
		t.Fatal(err)
	}
	h.speed(9600)
	h.sim.Reset()
	h.expect(banner)
	h.ask("AT+IPR?", urc("+IPR: 9600")+isOK)
	if err := h.sim.SetBootBaud(0); err == nil {
		t.Error("0 baud")
	}
	if err := bare(t).sim.SetBootBaud(9600); err == nil {
		t.Error("a line that takes no time has a rate")
	}
}

func TestNoiseNow(t *testing.T) {
	t.Parallel()
	h := bare(t)
	h.sim.Noise(100)
	if got := h.garbage(100); len(got) != 100 {
		t.Errorf("%d bytes: %q", len(got), got)
	}
	h.ask("AT", isOK)
}

// A module that was unplugged comes back as another device, where it was; one that had its power over the cable boots.
func TestReplug(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	h := start(t, Config{Map: f.mapped(), Faults: []string{"echo=off"}})
	f.online(h)
	replug := func() {
		t.Helper()
		if err := h.sim.Replug(); err != nil {
			t.Fatal(err)
		}
		h.f.Close()
		h.open()
	}
	other := bare(t)
	h.sim.Unplug()
	h.sim.Unplug()
	other.sim.Unplug() // its name is free now, and may be ours
	replug()
	h.offer(1, 1, "t", "x")
	h.expect(isOK)
	f.puback(next[*packets.PublishPacket](f).MessageID)
	h.expect(urc("+QMTPUBEX: 0,1,0"))
	h.sim.UnplugPower()
	f.gone()
	h.sim.Reset() // of no use without power
	h.sim.Reset()
	replug()
	h.expect(banner)
	if n := h.sim.Stats().Reboots; n != 1 {
		t.Errorf("%d reboots", n)
	}
	h.ask("AT", isOK)
	replug() // without having been unplugged first
	h.ask("AT", isOK)
	h.sim.Close()
	if err := h.sim.Replug(); err == nil {
		t.Error("a module that has ended was plugged in")
	}
}
