package tty

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// Process is a running program.
type Process struct {
	PID  int    `json:"pid"`
	Name string `json:"name"`
}

// Holders says which processes have which devices open, from what is below root ("/proc" on a real machine). Only root
// sees the files of everybody: the processes that show none are hidden.
func Holders(root string) (holders map[string][]Process, hidden []Process, err error) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, nil, err
	}
	holders = map[string][]Process{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue // not a process
		}
		dir := filepath.Join(root, e.Name())
		p := Process{pid, read(dir, "comm")}
		files, err := os.ReadDir(filepath.Join(dir, "fd"))
		if err != nil {
			hidden = append(hidden, p)
			continue
		}
		for _, f := range files {
			target, err := os.Readlink(filepath.Join(dir, "fd", f.Name()))
			if err != nil || slices.Contains(holders[target], p) { // closed in the meantime, or open twice
				continue
			}
			holders[target] = append(holders[target], p)
		}
	}
	return holders, hidden, nil
}

// ByID are the stable names of the ports, by device: the links in dir ("/dev/serial/by-id" on a real machine). There
// are none where no USB port is plugged in.
func ByID(dir string) map[string]string {
	names := map[string]string{}
	links, err := os.ReadDir(dir)
	if err != nil {
		return names
	}
	for _, l := range links {
		if target, err := os.Readlink(filepath.Join(dir, l.Name())); err == nil {
			names["/dev/"+filepath.Base(target)] = filepath.Join(dir, l.Name())
		}
	}
	return names
}
