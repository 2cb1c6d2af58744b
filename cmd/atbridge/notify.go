package main

import (
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/atbridge/atbridge/bridge"
)

// startMore is how much longer the start may take from each sign of progress on. Under Type=notify the service has not
// started before the port was found, which may take as long as the modem is away.
const startMore = 2 * time.Minute

// serviceManager is systemd, or whoever else reads what NOTIFY_SOCKET says; elsewhere it does nothing. It hears of progress from
// the supervisor and the pumps alone: where the bridge does not get on, the start runs out of time, and later the watchdog.
type serviceManager struct {
	log      *slog.Logger
	listens  bool
	watchdog time.Duration // WatchdogSec; 0: there is none
	ready    atomic.Bool
	last     atomic.Int64 // when progress was told last
}

func newServiceManager(log *slog.Logger) *serviceManager {
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("systemd's watchdog cannot be fed", "why", err)
	}
	return &serviceManager{log: log, listens: os.Getenv("NOTIFY_SOCKET") != "", watchdog: limit}
}

func (s *serviceManager) tell(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		s.log.Warn("telling systemd", "state", state, "why", err)
	}
}

// started is called when the queue is open and the port was found, and may be called again.
func (s *serviceManager) started() {
	if !s.ready.Swap(true) {
		s.tell(daemon.SdNotifyReady)
	}
}

func (s *serviceManager) stopping() { s.tell(daemon.SdNotifyStopping) }

func (s *serviceManager) changed(state bridge.State, reason string) {
	text := string(state)
	if reason != "" {
		text += ": " + reason
	}
	s.tell("STATUS=" + oneLine(text))
}

// oneLine keeps text from being read as another assignment.
func oneLine(text string) string {
	b := []byte(text)
	for i, c := range b {
		if c < ' ' {
			b[i] = ' '
		}
	}
	return string(b)
}

// every is how often, at least, progress has to be told; 0: nobody waits for it.
func (s *serviceManager) every() time.Duration {
	switch {
	case !s.listens:
		return 0
	case s.watchdog > 0:
		return min(s.watchdog, startMore) / 4
	}
	return startMore / 4
}

// progress is called whenever the supervisor or a pump gets on, which is more often than it is told.
func (s *serviceManager) progress() {
	now, every := time.Now().UnixNano(), s.every()
	before := s.last.Load()
	if every == 0 || time.Duration(now-before) < every/2 || !s.last.CompareAndSwap(before, now) {
		return
	}
	switch {
	case !s.ready.Load():
		s.tell(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", startMore.Microseconds()))
	case s.watchdog > 0:
		s.tell(daemon.SdNotifyWatchdog)
	}
}
