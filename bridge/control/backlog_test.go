package control

import (
	"slices"
	"testing"
)

// Who is slow is told how much is missing, and where: between what came before and what comes behind, and at the end too.
func TestBacklog(t *testing.T) {
	b := newBacklog(2, func(missed int) int { return -missed })
	take := func() int {
		e := <-b.waiting
		b.flush()
		return e
	}
	for e := range 5 {
		b.put(e)
	}
	got := []int{take()}
	b.put(5) // the word of what is missing takes the room
	got = append(got, take(), take())
	b.put(6)
	b.put(7)
	b.put(8)
	b.put(9)
	for len(b.waiting) > 0 {
		got = append(got, take())
	}
	if want := []int{0, 1, -3, -1, 6, -3}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
