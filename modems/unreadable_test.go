package modems

import "testing"

// A topic may hold quotes, and what looks like the end of it.
func TestQuotesInTopics(t *testing.T) {
	if topic, n, ok := luatHead(`+MSUB: "q"u,o",5 byte,`); topic != `q"u,o` || n != 5 || !ok {
		t.Error(topic, n, ok)
	}
	if _, n, ok := lierdaBlock([]byte(`+LMQTTURC: RECV,0,1,"q"u,o",5,`)); n != 6 || !ok {
		t.Error(n, ok)
	}
}
