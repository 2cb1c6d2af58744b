package modemtest

import (
	"errors"
	"strings"
	"testing"

	"github.com/atbridge/atbridge/modems"
)

// Each simulated module is found by what it says of itself.
func TestIdentify(t *testing.T) {
	eachDriver(t, func(t *testing.T, model string) {
		driver, _, _ := strings.Cut(model, "-")
		b := newBench(t, model)
		for _, name := range []string{"", "auto", driver} {
			m := b.attach(modems.Options{Driver: name})
			if m.Driver() != driver {
				t.Errorf("asked for %q: driver %s", name, m.Driver())
			}
			if id := m.Identity(); len(id.IMEI) != 15 || id.Model == "" || id.Revision == "" {
				t.Errorf("identity %+v", id)
			}
			m.Close()
		}
	})
}

// The driver of another family is refused, with the right one named.
func TestWrongDriver(t *testing.T) {
	b := newBench(t, "ec600", "model=Air724UG")
	_, err := modems.Attach(b.ctx, b.open(), modems.Options{Driver: "ec600"})
	if !errors.Is(err, modems.ErrUnsupported) || !strings.Contains(err.Error(), "set it to air724ug, or to auto") {
		t.Error(err)
	}
}

// The Lua firmware of an Air724UG answers AT, and is refused with what to do.
func TestLuaFirmware(t *testing.T) {
	b := newBench(t, "air724ug", "luatos")
	_, err := modems.Attach(b.ctx, b.open(), modems.Options{})
	if !errors.Is(err, modems.ErrUnsupported) || !strings.Contains(err.Error(), "flash an AirM2M_..._AT firmware") {
		t.Error(err)
	}
}

// A modem that nobody knows goes online by 27.007, and says what it lacks.
func TestUnknownModem(t *testing.T) {
	b := newBench(t, "ec600", "model=Frobnicator 9")
	m := b.attach(modems.Options{})
	if err := m.Online(b.ctx); err != nil {
		t.Fatal(err)
	}
	if n := m.Network(); m.Driver() != modems.Generic || !n.Registered || n.RSSI == 0 || n.Address == "" {
		t.Errorf("driver %s, %+v", m.Driver(), n)
	}
	_, err := m.DialMQTT(b.ctx, modems.MQTTConfig{})
	if !errors.Is(err, modems.ErrUnsupported) || !strings.Contains(err.Error(), `no driver knows the model "Frobnicator 9"`) {
		t.Error(err)
	}
}

// Firmware without an MQTT stack is told from one whose stack refuses.
func TestNoStack(t *testing.T) {
	eachDriver(t, func(t *testing.T, name string) {
		if name == "nt35e" {
			t.Skip("the L firmware is known by its MQTT commands")
		}
		b := newBench(t, name, "no-mqtt")
		_, err := b.online(modems.Options{}).DialMQTT(b.ctx, newBroker(t, false).config())
		if !errors.Is(err, modems.ErrUnsupported) || !strings.Contains(err.Error(), "has no MQTT stack") {
			t.Error(err)
		}
	})
}
