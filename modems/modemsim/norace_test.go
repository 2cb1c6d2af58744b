//go:build !race

package modemsim

const raceEnabled = false
