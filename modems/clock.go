package modems

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/atbridge/atbridge/atcmd"
)

// Clock reads the modem's clock, which the network sets where it sends the time (NITZ). 27.007 8.15 gives it as
// "yy/MM/dd,hh:mm:ss±zz" with zz in quarters of an hour. Whether it has been set cannot be told but by its plausibility.
func (m *Modem) Clock(ctx context.Context) (time.Time, error) {
	r, err := m.Do(ctx, atcmd.Read("+CCLK"))
	if err != nil {
		return time.Time{}, fmt.Errorf("asking for the time: %w", err)
	}
	if len(r.Info) == 0 {
		return time.Time{}, fmt.Errorf("asking for the time: AT+CCLK? has no answer")
	}
	_, p, err := atcmd.ParseParams(r.Info[0].Head)
	if err != nil {
		return time.Time{}, fmt.Errorf("asking for the time: %w", err)
	}
	return parseClock(p.Text(0))
}

// parseClock reads a clock with or without a zone. The time is local to the zone: where the modem names one it is taken
// off. Quectel's +CCLK keeps to that, others print UTC beside a zone: a day's worth of error at most, in a token of a day.
func parseClock(text string) (time.Time, error) {
	text = strings.NewReplacer(" ", "", "GMT", "").Replace(text) // as some firmware has it
	local, zone := text, time.Duration(0)
	if i := strings.LastIndexAny(text, "+-"); i > 0 {
		var quarters int
		if _, err := fmt.Sscanf(text[i+1:], "%d", &quarters); err != nil || quarters > 56 {
			return time.Time{}, fmt.Errorf("%q is no time of AT+CCLK?", text)
		}
		local, zone = text[:i], time.Duration(quarters)*15*time.Minute
		if text[i] == '-' {
			zone = -zone
		}
	}
	t, err := time.Parse("06/01/02,15:04:05", local)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no time of AT+CCLK?", text)
	}
	return t.Add(-zone), nil
}
