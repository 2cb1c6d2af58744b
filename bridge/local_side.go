package bridge

import (
	"context"
	"errors"

	"github.com/atbridge/atbridge/modems"
)

// LocalSide is where messages for the cloud come from, and where those from the cloud go: the embedded broker (Local),
// or an existing one of which the bridge is a client (LocalBroker). Both ask Accept for what they take.
type LocalSide interface {
	// Deliver hands over a message from the cloud. When it returns nil the local side has it, and what has been handed
	// over is not offered to Accept. It waits until ctx ends for a local side that is not there. An error that is
	// modems.ErrMessage will be the same the next time.
	Deliver(ctx context.Context, m modems.Message) error
	// Follow tells which routes go up from now on.
	Follow(up Routes)
	Addr() string
	Status() LocalStatus
	Close() error
}

// LocalStatus is what the local side says of itself.
type LocalStatus struct {
	Broker    string `json:"broker"`    // where local clients connect
	Connected bool   `json:"connected"` // the embedded one always is
	Reason    string `json:"reason"`    // why not
	Clients   int    `json:"clients"`   // of the embedded broker, like the rest
	Sessions  int    `json:"sessions"`  // that last
	Waiting   int    `json:"waiting"`   // messages that subscribers have not acknowledged
	Dropped   uint64 `json:"dropped"`   // because a subscriber took too little
}

// startLocalSide starts the one that is configured.
func startLocalSide(cfg LocalConfig, up Routes, accept Accept) (LocalSide, error) {
	if cfg.Broker != nil {
		return StartLocalBroker(cfg, up, accept)
	}
	l, err := StartLocal(cfg, accept)
	if err != nil {
		return nil, err // not a nil pointer in an interface
	}
	return l, nil
}

// offered is a message that accept has been asked for.
type offered struct {
	done chan struct{} // closed when err is known
	err  error
}

func (o *offered) settle(err error) {
	o.err = err
	close(o.done)
}

// offer asks accept. While there is no room it waits, until ctx ends; but not with a message of QoS 0, whose publisher
// will not send it again anyhow.
func offer(ctx context.Context, cfg LocalConfig, accept Accept, m modems.Message) (o *offered, taken bool, err error) {
	for {
		o = &offered{done: make(chan struct{})}
		taken = accept(m, o.settle)
		select {
		case <-o.done:
		default:
			return o, taken, nil
		}
		noRoom := errors.Is(o.err, ErrQueueFull) || errors.Is(o.err, ErrStore)
		if !noRoom || m.QoS == 0 || cfg.Room == nil || cfg.Room(ctx, m) != nil || ctx.Err() != nil {
			return o, taken, o.err
		}
	}
}
