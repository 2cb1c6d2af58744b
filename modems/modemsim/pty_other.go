//go:build !linux

package modemsim

import (
	"errors"
	"os"
	"time"
)

// pty is a pseudo-terminal as Linux has it. Elsewhere the program builds, and the
// simulator says why it does not run.
type pty struct {
	path   string
	master *os.File
}

func openPTY(int) (*pty, error) { return nil, errors.New("the simulator needs Linux") }

func (p *pty) hostSpeed() int { return 0 }
func (p *pty) share()         {}
func (p *pty) unplug()        {}

func (p *pty) write([]byte, time.Duration) (int, error) { return 0, errors.ErrUnsupported }

type sleeper struct{}

func newSleeper() *sleeper         { return &sleeper{} }
func (*sleeper) until(t time.Time) { time.Sleep(time.Until(t)) }
func (*sleeper) close()            {}
