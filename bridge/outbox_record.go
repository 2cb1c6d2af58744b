package bridge

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/atbridge/atbridge/modems"
)

// The log of the outbox holds two kinds of record, both in this frame:
//
//	version  1 byte, recordVersion: it grows with any change that this program could not read, or would lose
//	kind     1 byte, recordPut or recordSettled
//	crc      4 bytes, CRC32C (Castagnoli) of all other bytes of the record
//	body
//
// raft-wal checks a CRC only where its tail begins after a crash, not on each read: so every record has its own.
// Numbers are unsigned varints, strings have their length before them.
//
// The body of a PUT: id, time of arrival (Unix nanoseconds), flags, topic, reason, and the payload to the end. A PUT
// with a reason is a poisoned message: Poison appends the message anew, with why.
//
// The body of a SETTLED: the next id to be given out, then runs of ids that are no longer ours: outcome (1 byte),
// first id, how many. Ids are never used again, so what the log means does not depend on the order in which it is
// read: a message is live if some PUT holds it and no SETTLED names it. The same PUT may stand there twice.
const (
	recordVersion = 1
	recordPut     = 1
	recordSettled = 2

	recordHead  = 6
	putOverhead = recordHead + 3 + 9 + 1 + 1 + 1 // with a usual id and topic

	flagQoS        = 0x03
	flagRetain     = 0x04
	flagHigh       = 0x08 // these two came after version 1 had been in use: they were 0 before, and who does not know
	flagExpendable = 0x10 // them may pass them over
)

// outcome is how a message left the queue.
type outcome byte

const (
	outcomeDelivered outcome = 1 + iota
	outcomeDropped           // by drop-oldest, max_age, or by hand
	outcomeDamaged           // its bytes on the disk are no longer what was written
	outcomeRefused           // its publisher was told that it is not ours
)

var (
	errRecord     = errors.New("the record is damaged")
	crcCastagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// putRecord is one message in the log.
type putRecord struct {
	id       uint64
	arrival  time.Time // by the wall's clock
	message  modems.Message
	reason   string // why it is poisoned; empty: it is not
	handling Handling
}

func (r putRecord) encode() []byte {
	b := make([]byte, recordHead, recordHead+4*binary.MaxVarintLen64+1+len(r.message.Topic)+len(r.reason)+len(r.message.Payload))
	b = binary.AppendUvarint(b, r.id)
	b = binary.AppendUvarint(b, uint64(max(r.arrival.UnixNano(), 0)))
	flags := r.message.QoS & flagQoS
	for _, f := range r.flags() {
		if *f.set {
			flags |= f.bit
		}
	}
	b = append(b, flags)
	b = appendString(b, r.message.Topic)
	b = appendString(b, r.reason)
	b = append(b, r.message.Payload...)
	return sealRecord(b, recordPut)
}

type flag struct {
	bit byte
	set *bool
}

func (r *putRecord) flags() [3]flag {
	return [...]flag{{flagRetain, &r.message.Retain}, {flagHigh, &r.handling.High}, {flagExpendable, &r.handling.Expendable}}
}

// run is a row of consecutive ids with one outcome.
type run struct {
	outcome  outcome
	first, n uint64
}

type settledRecord struct {
	next uint64 // no id at or above it has been given out
	runs []run
}

func (r settledRecord) encode() []byte {
	b := make([]byte, recordHead, recordHead+binary.MaxVarintLen64*(2+2*len(r.runs))+len(r.runs))
	b = binary.AppendUvarint(b, r.next)
	for _, run := range r.runs {
		b = append(b, byte(run.outcome))
		b = binary.AppendUvarint(b, run.first)
		b = binary.AppendUvarint(b, run.n)
	}
	return sealRecord(b, recordSettled)
}

func sealRecord(b []byte, kind byte) []byte {
	b[0], b[1] = recordVersion, kind
	binary.LittleEndian.PutUint32(b[2:], recordSum(b))
	return b
}

func recordSum(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:2], crcCastagnoli), crcCastagnoli, b[recordHead:])
}

// decodeRecord returns a putRecord, whose payload lies in b, or a settledRecord.
func decodeRecord(b []byte) (any, error) {
	if len(b) < recordHead || binary.LittleEndian.Uint32(b[2:]) != recordSum(b) {
		return nil, errRecord
	}
	if b[0] != recordVersion {
		return nil, fmt.Errorf("a newer atbridge has written messages here (version %d of the record, and this one knows %d): install that one again, or name another queue.dir", b[0], recordVersion)
	}
	d := decoder{b: b[recordHead:]}
	switch b[1] {
	case recordPut:
		r := putRecord{id: d.number(), arrival: time.Unix(0, int64(d.number()))}
		flags := d.byte()
		r.message.Topic = d.string()
		r.reason = d.string()
		r.message.QoS = flags & flagQoS
		for _, f := range r.flags() {
			*f.set = flags&f.bit != 0
		}
		r.message.Payload = d.b
		return r, d.err
	case recordSettled:
		r := settledRecord{next: d.number()}
		for len(d.b) > 0 && d.err == nil {
			r.runs = append(r.runs, run{outcome(d.byte()), d.number(), d.number()})
		}
		return r, d.err
	}
	return nil, errRecord
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// decoder reads the fields of a body; after the first error every field is zero.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) number() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.b, d.err = nil, errRecord
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.err = errRecord
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) string() string {
	n := d.number()
	if n > uint64(len(d.b)) {
		d.b, d.err = nil, errRecord
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}
