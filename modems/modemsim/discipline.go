package modemsim

import (
	"fmt"
	"slices"
	"time"
)

// discipline is how a family treats the line where line.go and output.go leave it a choice. A model
// changes what it needs to when it is built; what stands here is Quectel's.
type discipline struct {
	longest int            // a command line may have so many bytes
	restart bool           // a longer one is forgotten without a word, and the search for AT begins anew; else it is an ERROR
	eatLF   bool           // an LF that follows the CR belongs to the line even if a data phase has begun
	waitLF  time.Duration  // a CR waits so long for its LF, in the profile sheet
	holdURC bool           // URCs wait for the final result code of the running command
	unknown reply          // to a command that is not in the table
	errors  map[int]string // what AT+CMEE=2 calls them
	stray   func() string  // the line that the fault urc-inside prints
	ghost   string         // the line that the fault ghost prints
}

func (d *dce) usual() discipline {
	return discipline{
		longest: maxLine,
		unknown: failed,
		errors:  cmeText,
		stray:   func() string { return fmt.Sprintf(`+QIND: "csq",%d,99`, d.f.csq) },
		ghost:   `+QIURC: "pdpdeact",1`,
	}
}

// endLine takes the byte after a CR that waits for its LF.
func (d *dce) endLine(b byte) {
	if b == '\n' {
		d.afterCR = false
		if d.profile.echo {
			d.echoed = append(d.echoed, b)
		}
	} else {
		d.rest = slices.Insert(d.rest, 0, b)
	}
	d.cancel(d.ending)
	d.complete()
	if !d.busy && b != '\n' {
		d.resume()
	}
}

// complete hands over the line that has been typed.
func (d *dce) complete() {
	line, tooLong := d.line, d.tooLong
	d.line, d.tooLong, d.ending = nil, false, nil
	d.submit(line, tooLong)
}

// What ends a data phase without a length (27.005, 3.5.1).
const (
	ctrlZ = 0x1a
	esc   = 0x1b
)

// forget drops the oldest URCs that wait, if they are more than the module has room for (fault urc-buffer).
func (d *dce) forget() {
	bytes := 0
	for i := len(d.held) - 1; i >= 0 && d.f.urcBuffer; i-- {
		if bytes += len(d.held[i]); bytes > 2048 || len(d.held)-i > 32 {
			d.held = d.held[i+1:]
			return
		}
	}
}
