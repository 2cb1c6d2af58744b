package bridge

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The clock on the wall jumps, forwards when the network brings the time and backwards when somebody sets it: nothing
// is dropped before it is too old, and what is too old is dropped.
func TestOutboxDropsWhatIsTooOld(t *testing.T) {
	for name, jump := range map[string]time.Duration{"no jump": 0, "a week forwards": 7 * 24 * time.Hour, "a week back": -7 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				var off time.Duration
				cfg := OutboxConfig{Dir: dir, MaxAge: time.Hour, wall: func() time.Time {
					return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(time.Duration(time.Now().UnixNano()-synctestBirth) + off)
				}}
				o := openOutbox(t, cfg)
				putWait(t, o, numberedUpTo(2)...)
				time.Sleep(30 * time.Minute)
				off = jump
				putWait(t, o, numbered(2))
				if e := next(t, o); string(e.Message().Payload) != "0" {
					t.Errorf("handed out %q, half an hour old", e.Message().Payload)
				} else {
					must(t, e.Undelivered())
				}
				if age := o.Stats().Oldest; age != 30*time.Minute {
					t.Errorf("the oldest is %v old", age)
				}
				time.Sleep(30*time.Minute + time.Second)
				if e := next(t, o); string(e.Message().Payload) != "2" {
					t.Errorf("handed out %q", e.Message().Payload)
				}
				if s := o.Stats(); s.DroppedBy != (Drops{Old: 2}) || s.Dropped != 2 || s.Messages != 1 {
					t.Errorf("%+v", s)
				}
				closeOutbox(t, o)
				o = openOutbox(t, cfg)
				if got := payloads(t, o); !slices.Equal(got, []string{"2"}) {
					t.Errorf("after a restart: %v", got)
				}
				closeOutbox(t, o)
			})
		})
	}
}

// synctestBirth is when the clock of a bubble begins.
var synctestBirth = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()

// What the records say across a start, in minutes before it, and what is believed; "-" is a machine without a clock.
func TestDate(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for records, want := range map[string]string{
		"":               "",
		"30m 20m 10m":    "30m 20m 10m",
		"30m - 10m":      "30m 10m 10m",
		"- 20m 10m":      "20m 20m 10m",
		"30m 20m -":      "30m 20m 0s",
		"- -":            "0s 0s",
		"30m -60m 10m":   "30m 0s 0s",   // from the future
		"30m 9999m 10m":  "30m 30m 10m", // the clock went back for a while
		"-60m -60m -60m": "0s 0s 0s",    // the clock shows less than it did before the start
	} {
		var items []item
		for r := range strings.FieldsSeq(records) {
			it := item{born: 1000}
			if age, err := time.ParseDuration(r); err == nil {
				it.born = now.Add(-age).UnixNano()
			}
			items = append(items, it)
		}
		date(items, now.UnixNano())
		var got []string
		for _, it := range items {
			got = append(got, strings.Replace(now.Sub(time.Unix(0, it.born)).String(), "m0s", "m", 1))
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s: %s, want %s", records, s, want)
		}
	}
}
