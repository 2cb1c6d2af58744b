package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warthog618/go-gpiosim"
)

// heldLine notes when it was let go.
type heldLine struct {
	began time.Time
	held  *[]string
	name  string
	open  *int
}

func (h heldLine) SetValue(v int) error {
	if v != 0 {
		return errors.New("it was high already")
	}
	*h.held = append(*h.held, h.name+" "+time.Since(h.began).String())
	return nil
}

func (h heldLine) Close() error { *h.open--; return nil }

// The keys are held for as long as the makers say, let go in any case, and the two ways take turns.
func TestPowerKey(t *testing.T) {
	var held []string
	open := 0
	real := requestHigh
	defer func() { requestHigh = real }()
	requestHigh = func(chip string, offset int) (outputLine, error) {
		open++
		return heldLine{time.Now(), &held, chip + "/" + string(rune('0'+offset)), &open}, nil
	}
	for name, tc := range map[string]struct {
		m    Modem
		want []string
	}{
		"power":           {Modem{Reset: "none", Power: "gpio:c/2"}, []string{"c/2 2s", "c/2 2s", "c/2 500ms"}},
		"reset":           {Modem{Reset: "gpio:c/1", Power: "none"}, []string{"c/1 1s", "c/1 1s", "c/1 500ms"}},
		"reset and power": {Modem{Reset: "gpio:c/1", Power: "gpio:c/2"}, []string{"c/1 1s", "c/2 2s", "c/1 500ms"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				held = nil
				pull := tc.m.resetter()
				for range 2 {
					if err := pull(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
				defer cancel()
				if err := pull(ctx); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(held, tc.want) || open != 0 {
					t.Errorf("held %q, want %q; %d lines left open", held, tc.want, open)
				}
			})
		})
	}
	if m := (&Modem{Reset: "none", Power: "none"}); m.resetter() != nil {
		t.Error("there is a way to reset where none is named")
	}
}

// The same through the kernel, where it has gpio-sim and this user may use it.
func TestPowerKeyInTheKernel(t *testing.T) {
	chip, err := gpiosim.NewSimpleton(4)
	if err != nil {
		t.Skipf("there is no gpio-sim here: %v", err)
	}
	defer chip.Close()
	level := func() int {
		v, err := chip.Level(3)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	press := (&Modem{Reset: "none", Power: "gpio:" + chip.ChipName() + "/3"}).resetter()
	done := make(chan error, 1)
	began := time.Now()
	go func() { done <- press(t.Context()) }()
	eventually(t, "the line to be high", time.Second, func() bool { return level() == 1 })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if held := time.Since(began); held < powerPress || level() != 0 {
		t.Errorf("held for %v, and the level is %d after", held, level())
	}
}

// A line that is not there is told with its key.
func TestNoGPIO(t *testing.T) {
	err := (&Modem{Reset: "none", Power: "gpio:no-such-chip/3"}).resetter()(t.Context())
	if err == nil || !strings.HasPrefix(err.Error(), "modem.power: the GPIO line no-such-chip/3 cannot be used: ") {
		t.Error(err)
	}
}
