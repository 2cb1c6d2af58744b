package atcmd

import (
	"bytes"
	"strings"
)

// maxLine bounds a line without counted data. V.250 knows no bound; the longest line of the dialects at hand is an
// operator list (+COPS=?) of some hundred bytes. What is longer is noise, such as a wrong baud rate makes.
const maxLine = 16 << 10

type eventKind int

const (
	lineEvent   eventKind = iota // a whole line, without its line end, never empty
	promptEvent                  // the prompt that was awaited
	noiseEvent                   // a line longer than maxLine; its bytes are gone
)

// event is what the scanner found. Its slices are valid until the next call of feed.
type event struct {
	kind  eventKind
	head  []byte // the line up to its counted data; the whole line if there is none
	block []byte // the counted data; nil if there is none
	tail  []byte // what followed the data on the same line
}

// scanner cuts a byte stream into events. The events depend on the bytes and on what is awaited, not on how the
// bytes were cut into chunks. It has no clock: who feeds it decides when counted data has been silent for too long.
type scanner struct {
	grammar *Grammar
	prompt  string // what asks for the payload of the command in flight; empty: none is awaited

	buf      []byte // the line so far: head, skipped bytes, data, tail
	head     int    // length of the head once data was announced
	gap      int    // bytes between head and data, which belong to neither
	skip     int    // those of them that are still to come
	need     int    // bytes of data still to come
	inBlock  bool   // skip or need is not yet served
	hasBlock bool
	ownLine  bool // the data begins where a line does: it is complete without a line end behind it
	blockEnd int
	overlong bool // dropping the rest of a line beyond maxLine
	banner   bool // dropping the rest of a boot banner

	echo []byte // rest of a payload that the DCE may echo
	seen int    // how much of echo has come back
}

// feed consumes p and calls emit for each event in it. emit may change prompt, grammar and the awaited echo.
func (s *scanner) feed(p []byte, emit func(event)) {
	for len(p) > 0 {
		switch {
		case s.echo != nil && s.atStart():
			p = s.feedEcho(p, emit)
		case s.inBlock:
			p = s.feedBlock(p)
			if !s.inBlock && s.ownLine {
				s.endLine(emit)
			}
		default:
			s.feedByte(p[0], emit)
			p = p[1:]
		}
	}
}

// atStart reports whether no line is in progress.
func (s *scanner) atStart() bool { return len(s.buf) == 0 && !s.overlong && !s.banner }

func (s *scanner) feedByte(b byte, emit func(event)) {
	atStart := s.atStart()
	switch {
	case b == '\r' || b == '\n':
		if b == '\r' && !atStart && !s.hasBlock && !s.overlong && s.announced(b) {
			return
		}
		if !s.recount([]byte{b}, emit) {
			s.endLine(emit)
		}
	case s.overlong, s.banner:
	case atStart && b == ' ':
		// the blank behind a prompt, or a stray one (seen before echoes)
	case atStart && b == '>' && s.prompt == ">":
		s.prompt = ""
		emit(event{kind: promptEvent})
	case len(s.buf)-s.dataLen() >= maxLine:
		s.reset()
		s.overlong = true
	default:
		if (b == ',' || b == ':') && !s.hasBlock && s.announced(b) {
			return
		}
		s.buf = append(s.buf, b)
		if s.showsBanner(b) {
			s.reset()
			s.banner = true
			emit(event{kind: lineEvent, head: []byte(s.grammar.Banner)})
		}
	}
}

// showsBanner reports whether the line so far, of which b is the last byte, ends with the boot banner.
func (s *scanner) showsBanner(b byte) bool {
	if s.grammar == nil || s.grammar.Banner == "" || s.hasBlock {
		return false
	}
	banner := s.grammar.Banner
	return b == banner[len(banner)-1] && bytes.HasSuffix(s.buf, []byte(banner))
}

// announced asks the grammar whether the line so far, with b, announces counted data.
func (s *scanner) announced(b byte) bool {
	if s.grammar == nil || s.grammar.Block == nil {
		return false
	}
	s.buf = append(s.buf, b)
	skip, n, ok := s.grammar.Block(s.buf)
	if !ok || skip < 0 || n < 0 {
		s.buf = s.buf[:len(s.buf)-1]
		return false
	}
	s.head, s.gap, s.skip, s.need = len(s.buf), skip, skip, n
	s.blockEnd = s.head + skip + n
	s.hasBlock, s.inBlock = true, skip+n > 0
	return true
}

func (s *scanner) feedBlock(p []byte) []byte {
	d := min(s.skip, len(p))
	if s.skip -= d; d > 0 {
		s.ownLine = p[d-1] == '\n'
	}
	s.buf, p = append(s.buf, p[:d]...), p[d:]
	n := min(s.need, len(p))
	s.buf = append(s.buf, p[:n]...)
	s.need -= n
	s.inBlock = s.skip+s.need > 0
	return p[n:]
}

func (s *scanner) dataLen() int {
	if !s.hasBlock {
		return 0
	}
	return s.blockEnd - s.head
}

func (s *scanner) endLine(emit func(event)) {
	if s.overlong {
		s.reset()
		emit(event{kind: noiseEvent})
		return
	}
	if len(s.buf) == 0 {
		s.banner = false
		return
	}
	ev := event{kind: lineEvent, head: s.buf}
	if s.hasBlock {
		ev.head, ev.block, ev.tail = s.buf[:s.head], s.buf[s.head+s.gap:s.blockEnd], s.buf[s.blockEnd:]
	}
	ev.head = bytes.TrimRight(ev.head, " \r\n")
	if ev.block == nil && s.prompt != "" && s.prompt != ">" && string(ev.head) == s.prompt {
		s.prompt = ""
		ev = event{kind: promptEvent}
	}
	s.reset()
	if ev.kind == promptEvent || len(ev.head) > 0 {
		emit(ev)
	}
}

func (s *scanner) reset() {
	if cap(s.buf) > 4*maxLine { // one huge block does not stay for ever
		s.buf = nil
	}
	s.buf = s.buf[:0]
	s.hasBlock, s.ownLine, s.inBlock, s.overlong, s.banner = false, false, false, false, false
	s.gap, s.skip, s.need = 0, 0, 0
}

// abandon gives up counted data that stopped coming: it was announced by a stranger, or is dropped.
func (s *scanner) abandon(emit func(event)) {
	if !s.recount(nil, emit) {
		s.reset()
	}
}

// showsPrompt reports whether the line in progress looks like a prompt that nobody awaited.
func (s *scanner) showsPrompt() bool {
	return !s.hasBlock && strings.TrimRight(string(s.buf), " ") == ">"
}

// awaitEcho makes the scanner drop payload, of at most its length, if it comes back where a line may begin.
func (s *scanner) awaitEcho(payload []byte) { s.echo, s.seen = payload, 0 }

// feedEcho drops what equals the payload that was just written. A line that begins otherwise, such as a URC between the
// prompt and the echo, is scanned, and the echo still awaited. When something else comes in the middle, what was held
// back is scanned after all, unless it ends at a line end: then the DCE echoed only part of it.
func (s *scanner) feedEcho(p []byte, emit func(event)) []byte {
	if s.seen == 0 && len(s.echo) > 0 && p[0] != s.echo[0] {
		s.feedByte(p[0], emit)
		return p[1:]
	}
	for i, b := range p {
		if s.seen == len(s.echo) {
			s.echo = nil
			return p[i:]
		}
		if b != s.echo[s.seen] {
			held := s.echo[:s.seen]
			s.echo = nil
			if b != '\r' && b != '\n' {
				s.feed(held, emit)
			}
			return p[i:]
		}
		s.seen++
	}
	return nil
}
