//go:build race

package modemsim

const raceEnabled = true
