package atcmd

import "bytes"

// maxStranger bounds how far behind a false announcement the true one is looked for: what a stranger wrote ends there.
const maxStranger = 1 << 10

// recount looks for the true announcement in a line whose counted data is not what its first announcement said: b has come
// behind it, and would end the line; no b: nothing more comes. False: it has found none, or there is nothing wrong.
func (s *scanner) recount(b []byte, emit func(event)) bool {
	if !s.hasBlock || s.ownLine || s.grammar == nil || s.grammar.Whole == nil {
		return false
	}
	if !s.inBlock && s.grammar.Whole(s.buf[:s.head], s.buf[s.head+s.gap:s.blockEnd], s.buf[s.blockEnd:]) {
		return false
	}
	all := append(clone(s.buf), b...)
	for head := s.head + 1; head <= min(len(all), s.head+maxStranger); head++ {
		if c := all[head-1]; c != ',' && c != ':' {
			continue
		}
		gap, n, ok := s.grammar.Block(all[:head])
		if !ok || gap < 0 || n < 0 || head+gap > len(all) {
			continue
		}
		if s.reread(all, head, gap, n, len(b) > 0, emit) {
			return true
		}
	}
	return false
}

// reread takes n bytes behind head and gap for the data, if the line then ends where it should, or if more is to come. What
// the false announcement has swallowed behind the line is scanned.
func (s *scanner) reread(all []byte, head, gap, n int, more bool, emit func(event)) bool {
	end := head + gap + n
	if end > len(all) {
		if more {
			s.buf = append(s.buf[:0], all...)
			s.head, s.gap, s.need, s.blockEnd, s.inBlock = head, gap, end-len(all), end, true
		}
		return more
	}
	tail := all[end:]
	if i := bytes.IndexAny(tail, "\r\n"); i >= 0 {
		tail = tail[:i]
	}
	if !s.grammar.Whole(all[:head], all[head+gap:end], tail) {
		return false
	}
	s.reset()
	emit(event{kind: lineEvent, head: all[:head], block: all[head+gap : end], tail: tail})
	s.feed(all[end+len(tail):], emit)
	return true
}
