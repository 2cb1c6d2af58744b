package atcmd

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// counted is the grammar of the tests in this file: "+D: n" CR LF data, and "+I: n,data" inside a line.
var counted = &Grammar{Banner: "^boot.rom", Block: func(head []byte) (skip, n int, ok bool) {
	s := string(head)
	switch {
	case strings.HasPrefix(s, "+D: ") && strings.HasSuffix(s, "\r"):
		n, err := strconv.Atoi(s[4 : len(s)-1])
		return 1, n, err == nil && n >= 0 && n < 2000
	case strings.HasPrefix(s, "+I: ") && strings.HasSuffix(s, ","):
		n, err := strconv.Atoi(s[4 : len(s)-1])
		return 0, n, err == nil && n >= 0 && n < 2000
	}
	return 0, 0, false
}}

// scan feeds the chunks and writes down what came out.
func scan(chunks [][]byte, prompt string, echo []byte) []string {
	s := scanner{grammar: counted, prompt: prompt}
	if echo != nil {
		s.awaitEcho(echo)
	}
	var out []string
	for _, c := range chunks {
		s.feed(c, func(ev event) {
			out = append(out, fmt.Sprintf("%d %q %q %q", ev.kind, ev.head, ev.block, ev.tail))
		})
	}
	return out
}

func cut(p []byte, at []int) [][]byte {
	var chunks [][]byte
	for _, i := range at {
		i = min(i, len(p))
		chunks, p = append(chunks, p[:i]), p[i:]
	}
	return append(chunks, p)
}

func single(p []byte) [][]byte {
	var chunks [][]byte
	for i := range p {
		chunks = append(chunks, p[i:i+1])
	}
	return chunks
}

// The events depend on the bytes, not on how they were cut.
func TestChunkingChangesNothing(t *testing.T) {
	pieces := rapid.SampledFrom([]string{"\r\n", "OK", "> ", ">", "+D: 3\r\n", "+D: 0\r\n", "+I: 4,", "+CSQ: 1,99", "\r", "\n", " ",
		"abc", "\x00", "\xff", "+D: 9999\r\n", "RDY", ",", ":", "\"", "CONNECT", "^boot.rom", "^boot", ".rom", "pay", "load", strings.Repeat("x", maxLine)})
	rapid.Check(t, func(t *rapid.T) {
		p := []byte(strings.Join(rapid.SliceOfN(pieces, 0, 30).Draw(t, "pieces"), ""))
		prompt := rapid.SampledFrom([]string{"", ">", "CONNECT"}).Draw(t, "prompt")
		var echo []byte
		if rapid.Bool().Draw(t, "echo") {
			echo = []byte("payload")
		}
		whole := fmt.Sprint(scan([][]byte{p}, prompt, echo))
		if got := fmt.Sprint(scan(single(p), prompt, echo)); got != whole {
			t.Fatalf("byte by byte %s\nwhole        %s", got, whole)
		}
		at := rapid.SliceOfN(rapid.IntRange(0, 20), 0, 20).Draw(t, "cuts")
		if got := fmt.Sprint(scan(cut(p, at), prompt, echo)); got != whole {
			t.Fatalf("in pieces %s\nwhole     %s", got, whole)
		}
	})
}

func FuzzScanner(f *testing.F) {
	f.Add([]byte("\r\n+D: 3\r\nabc\r\n\r\nOK\r\n"), uint8(1))
	f.Add([]byte("AT\r\r\n> +I: 3,a\r\nb\r\n"), uint8(3))
	f.Add([]byte("\x00\xff>>\r\n+CME ERROR: 10\r\n"), uint8(2))
	f.Add([]byte("> \r\n+I: 1,x\r\npay\r\nOK\r\npayload\r\nOK\r\n"), uint8(200))
	f.Fuzz(func(t *testing.T, p []byte, size uint8) {
		var echo []byte
		if size > 127 {
			echo = []byte("payload")
		}
		whole := fmt.Sprint(scan([][]byte{p}, ">", echo))
		var chunks [][]byte
		for rest := p; len(rest) > 0; {
			n := min(int(size)%7+1, len(rest))
			chunks, rest = append(chunks, rest[:n]), rest[n:]
		}
		if got := fmt.Sprint(scan(chunks, ">", echo)); got != whole {
			t.Fatalf("in pieces of %d: %s\nwhole: %s", size%7+1, got, whole)
		}
	})
}

// Noise of any length costs bounded memory, and the next line is found.
func TestNoiseIsBounded(t *testing.T) {
	s := scanner{grammar: counted}
	var got []string
	emit := func(ev event) { got = append(got, fmt.Sprintf("%d %s", ev.kind, ev.head)) }
	noise := bytes.Repeat([]byte{0xfe, 'x', 0x00, '>'}, 1024)
	for range 1000 {
		s.feed(noise, emit)
		if cap(s.buf) > 4*maxLine {
			t.Fatalf("%d bytes held", cap(s.buf))
		}
	}
	s.feed([]byte("\r\nOK\r\n"), emit)
	if fmt.Sprint(got) != "[2  0 OK]" {
		t.Errorf("%q", got)
	}
}

func BenchmarkScanner(b *testing.B) {
	p := bytes.Repeat([]byte("\r\n+CSQ: 20,99\r\n\r\nOK\r\n\r\n+D: 100\r\n"+strings.Repeat("d", 100)+"\r\n"), 20)
	s := scanner{grammar: &Grammar{}}
	emit := func(event) {}
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		s.feed(p, emit)
	}
}
