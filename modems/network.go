package modems

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/atbridge/atbridge/atcmd"
)

// PDPConfig is the PDP context to bring up.
type PDPConfig struct {
	APN      string // empty: what the network gives
	User     string
	Password string // a secret
	Auth     string // none, pap, chap
	IP       string // ipv4, ipv6, ipv4v6; empty: ipv4
}

const (
	registerTimeout = 90 * time.Second // Quectel TCP/IP AN V1.2, figure 1
	registerRetry   = 5 * time.Second  // registration is read again: its URC may be switched to another port
	copsTimeout     = 180 * time.Second
)

// Registration commands of the three domains (27.007 10.1.22, 10.1.20, 7.2): EPS, GPRS, circuit switched. A modem
// is online when one of the first two says so; the third is for those that know no other.
var domains = []string{"+CEREG", "+CGREG", "+CREG"}

// register waits until the network has taken the modem in.
func (m *Modem) register(ctx context.Context) error {
	m.opts.Progress("waiting for the network")
	ctx, cancel := context.WithTimeout(ctx, m.opts.RegisterTimeout)
	defer cancel()
	changed := make(chan struct{}, 1)
	stop := m.router.on(func(atcmd.Line) {
		select {
		case changed <- struct{}{}:
		default:
		}
	}, "+CEREG:", "+CGREG:", "+CREG:")
	defer stop()
	for _, d := range domains {
		if err := m.try(ctx, atcmd.Set(d, 1)); err != nil {
			return err
		}
	}
	for {
		stat, err := m.registration(ctx)
		if err == nil && registered(stat) {
			m.learn(func(_ *Identity, n *Network) { n.Registered, n.Roaming = true, stat == 5 })
			return m.survey(ctx)
		}
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("asking for the registration: %w", err)
		}
		m.learn(func(_ *Identity, n *Network) { n.Registered = false })
		again := time.NewTimer(registerRetry)
		select {
		case <-changed:
		case <-again.C:
		case <-m.Done():
			again.Stop()
			return m.Err()
		case <-ctx.Done():
			again.Stop()
			return m.notRegistered(stat)
		}
		again.Stop()
	}
}

func registered(stat int) bool { return stat == 1 || stat == 5 }

// registration reads <stat> of the best domain: registered in one is registered.
func (m *Modem) registration(ctx context.Context) (int, error) {
	best, answered := 0, false
	for _, d := range domains {
		r, err := m.Do(ctx, atcmd.Read(d))
		if atcmd.Refused(err) {
			continue
		}
		if err != nil {
			return best, err
		}
		if len(r.Info) == 0 {
			continue
		}
		_, p, err := atcmd.ParseParams(r.Info[0].Head)
		if err != nil {
			continue
		}
		stat, err := p.Int(1)
		if err != nil {
			continue
		}
		if answered = true; registered(stat) {
			return stat, nil
		}
		best = max(best, stat)
	}
	if !answered {
		return 0, errNoRegistration
	}
	return best, nil
}

var errNoRegistration = errors.New("the modem answers neither AT+CEREG? nor AT+CGREG? nor AT+CREG?")

func (m *Modem) notRegistered(stat int) error {
	why := map[int]string{
		0: "it is not searching; is the antenna connected, and was AT+CFUN=0 set?",
		2: "it is still searching; is the antenna connected, and is there coverage here?",
		3: "the network denies it; is the SIM active and paid for?",
		4: "the registration is unknown; is there coverage here?",
	}[stat]
	if rssi := m.Network().RSSI; rssi != 0 {
		why += fmt.Sprintf(" (signal %d dBm)", rssi)
	}
	return fmt.Errorf("%w: no registration within %v: %s", ErrOffline, m.opts.RegisterTimeout, why)
}

// survey learns operator and signal. Both are for people; a refusal changes nothing.
func (m *Modem) survey(ctx context.Context) error {
	r, err := m.Do(ctx, atcmd.Read("+COPS").WithTimeout(copsTimeout))
	if err != nil && !atcmd.Refused(err) {
		return fmt.Errorf("asking for the operator: %w", err)
	}
	if len(r.Info) > 0 {
		if _, p, err := atcmd.ParseParams(r.Info[0].Head); err == nil {
			m.learn(func(_ *Identity, n *Network) { n.Operator = p.Text(2) })
		}
	}
	return m.Probe(ctx)
}

// Probe asks for the signal quality (27.007 8.5), which also shows that the modem still answers.
func (m *Modem) Probe(ctx context.Context) error {
	r, err := m.Do(ctx, atcmd.Exec("+CSQ"))
	if err != nil {
		if atcmd.Refused(err) {
			return nil
		}
		return fmt.Errorf("asking for the signal: %w", err)
	}
	if len(r.Info) == 0 {
		return nil
	}
	if _, p, err := atcmd.ParseParams(r.Info[0].Head); err == nil {
		if n, err := p.Int(0); err == nil {
			m.learn(func(_ *Identity, net *Network) { net.RSSI = dBm(n) })
		}
	}
	return nil
}

// dBm turns the <rssi> of +CSQ (27.007 8.5: 0..31, 99 unknown) into dBm; 0: not known.
func dBm(rssi int) int {
	if rssi < 0 || rssi > 31 {
		return 0
	}
	return -113 + 2*rssi
}

// sessionLost is why a session ended, in the words of a table, and the line that told of it.
func sessionLost(why, line string) error {
	if why == ErrByBroker.Error() {
		return fmt.Errorf("%w (%s)", ErrByBroker, line)
	}
	return fmt.Errorf("%s (%s)", why, line)
}

// words looks a result code up, so that no bare number reaches a person.
func words(table map[int]string, n int) string {
	if w, ok := table[n]; ok {
		return w
	}
	return "result " + strconv.Itoa(n)
}
