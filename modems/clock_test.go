package modems

import (
	"context"
	"testing"
	"time"

	"github.com/atbridge/atbridge/atcmd/attest"
)

func TestParseClock(t *testing.T) {
	utc := func(y int, m time.Month, d, h, min, s int) time.Time {
		return time.Date(y, m, d, h, min, s, 0, time.UTC)
	}
	for text, want := range map[string]time.Time{
		"26/01/02,03:04:05+00":   utc(2026, 1, 2, 3, 4, 5),
		"26/01/02,03:04:05+32":   utc(2026, 1, 1, 19, 4, 5),
		"26/01/02,03:04:05-08":   utc(2026, 1, 2, 5, 4, 5),
		"26/01/02,03:04:05":      utc(2026, 1, 2, 3, 4, 5),
		"19/09/09, 01:32:52+32":  utc(2019, 9, 8, 17, 32, 52),
		"80/01/06,00:00:10+00":   utc(1980, 1, 6, 0, 0, 10),
		"26/01/02,03:04:05GMT+8": utc(2026, 1, 2, 1, 4, 5),
	} {
		if got, err := parseClock(text); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "now", "26/13/02,03:04:05+00", "26/01/02,03:04:05+", "26/01/02,03:04:05+99", "26/01/02,25:04:05"} {
		if got, err := parseClock(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestClock(t *testing.T) {
	withModem(t, func(d *attest.DCE) {
		exchanges{"AT+CCLK?\r\n", "\r\n+CCLK: \"26/01/02,03:04:05+32\"\r\n" + ok, "AT+CCLK?\r\n", "\r\nERROR\r\n"}.play(d)
	}, func(ctx context.Context, m *Modem) {
		if got, err := m.Clock(ctx); err != nil || got.Unix() != 1767294245 {
			t.Errorf("%v, %v", got, err)
		}
		if _, err := m.Clock(ctx); err == nil {
			t.Error("a time without an answer")
		}
	})
}
