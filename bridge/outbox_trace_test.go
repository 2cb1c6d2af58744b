package bridge

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A disk in memory, to which what a process has written is done again, call by call, as strace has seen it. So the
// state at which a kill or a power cut would have left the real one can be had for every call.

// call is one system call that has succeeded.
type call struct {
	name string
	args []string // strings and paths are decoded
	n    int64    // what it returned
}

const tracedCalls = "openat,write,writev,pwrite64,pwritev,fsync,fdatasync,sync_file_range,ftruncate,fallocate,copy_file_range,sendfile," +
	"rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,rmdir,mkdir,mkdirat"

// traced runs cmd to its end and returns the calls that change something on a disk or on its standard output, in the
// order in which they began. Buffering is off: who has returned from a write has written.
func traced(t *testing.T, cmd *exec.Cmd) []call {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		if os.Getenv("ATBRIDGE_CI") == "1" {
			t.Fatal("strace is not installed")
		}
		t.Skip("strace is not installed; this test needs it")
	}
	log := filepath.Join(t.TempDir(), "trace")
	wrapped := exec.Command(strace, append([]string{"-f", "-y", "-xx", "-s", "10000000", "-e", "signal=none", "-e", "trace=" + tracedCalls, "-o", log}, cmd.Args...)...)
	wrapped.Env = cmd.Env
	if out, err := wrapped.CombinedOutput(); err != nil {
		if bytes.Contains(out, []byte("ptrace")) && os.Getenv("ATBRIDGE_CI") != "1" {
			t.Skipf("this process may not trace another: %s", out)
		}
		t.Fatalf("%v\n%.2000s", err, out)
	}
	b, err := os.ReadFile(log)
	must(t, err)
	return parseTrace(t, string(b))
}

func parseTrace(t *testing.T, text string) []call {
	t.Helper()
	var lines []string
	unfinished := map[string]int{} // by thread: which of lines it is
	for line := range strings.Lines(text) {
		pid, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		rest = strings.TrimSpace(rest)
		if begin, ok := strings.CutSuffix(rest, "<unfinished ...>"); ok {
			unfinished[pid] = len(lines)
			lines = append(lines, begin)
		} else if _, end, ok := strings.Cut(rest, " resumed>"); ok && strings.HasPrefix(rest, "<... ") {
			lines[unfinished[pid]] += end
		} else {
			lines = append(lines, rest)
		}
	}
	var calls []call
	for _, line := range lines {
		head, result, ok := cutLast(line, " = ")
		name, args, ok2 := strings.Cut(strings.TrimRight(head, " )"), "(")
		if !ok || !ok2 {
			continue // how it ended
		}
		c := call{name: name}
		result, _, _ = strings.Cut(result, "<")
		if c.n, _ = strconv.ParseInt(strings.Fields(result)[0], 10, 64); c.n < 0 {
			continue
		}
		for arg := range strings.SplitSeq(args, ", ") {
			c.args = append(c.args, unhex(t, arg))
		}
		calls = append(calls, c)
	}
	return calls
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// unhex decodes "\x61" and 7<\x61>; anything else stays as it is.
func unhex(t *testing.T, arg string) string {
	t.Helper()
	from, to := strings.IndexAny(arg, `"<`), strings.LastIndexAny(arg, `">`)
	if from < 0 {
		return arg
	}
	b, err := hex.DecodeString(strings.ReplaceAll(arg[from+1:to], `\x`, ""))
	if err != nil {
		t.Fatalf("strace's %.100s: %v", arg, err)
	}
	return string(b)
}

// vdisk is a directory tree: what is in the page cache, and what of it has reached the disk for certain.
type vdisk struct {
	root    string
	names   map[string]*vfile
	changes []func(names map[string]*vfile) // of names, in order
	safe    int                             // so many of them are on the disk: a journal keeps their order
}

// vfile is a file; a directory has dir.
type vfile struct {
	dir     bool
	now     []byte
	synced  []byte
	pending []pendingWrite // not yet synced
}

type pendingWrite struct {
	at   int64
	data []byte
	size int64 // of the file, where data is nil
}

const sector = 512

func newDisk(t *testing.T, root string) *vdisk {
	t.Helper()
	d := &vdisk{root: root, names: map[string]*vfile{}}
	if _, err := os.Stat(root); err == nil {
		must(t, filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				d.change(func(names map[string]*vfile) { names[name] = &vfile{dir: true} })
				return err
			}
			b, err := os.ReadFile(name)
			f := &vfile{now: b, synced: bytes.Clone(b)}
			d.change(func(names map[string]*vfile) { names[name] = f })
			return err
		}))
	}
	d.safe = len(d.changes)
	return d
}

func (d *vdisk) change(how func(map[string]*vfile)) {
	how(d.names)
	d.changes = append(d.changes, how)
}

// do does c again, if it is about this disk. It returns what kind of call it was: "" if it changed nothing.
func (d *vdisk) do(t *testing.T, c call) (kind string) {
	t.Helper()
	number := func(i int) int64 {
		n, err := strconv.ParseInt(c.args[i], 10, 64)
		must(t, err)
		return n
	}
	in := func(name string) bool { return name == d.root || strings.HasPrefix(name, d.root+"/") }
	name, file := c.args[0], d.names[c.args[0]]
	switch c.name {
	case "openat", "unlinkat", "mkdirat":
		if name = c.args[1]; !path.IsAbs(name) {
			name = path.Join(c.args[0], name)
		}
		file = d.names[name]
	case "renameat", "renameat2":
		c.args = []string{c.args[1], c.args[3]}
		name = c.args[0]
	}
	if !in(name) {
		return ""
	}
	switch c.name {
	case "openat":
		if strings.Contains(c.args[2], "O_TRUNC") {
			t.Fatal("O_TRUNC is not simulated")
		}
		if file != nil || !strings.Contains(c.args[2], "O_CREAT") {
			return ""
		}
		fresh := &vfile{}
		d.change(func(names map[string]*vfile) { names[name] = fresh })
	case "mkdirat", "mkdir":
		d.change(func(names map[string]*vfile) { names[name] = &vfile{dir: true} })
	case "unlinkat", "unlink", "rmdir":
		d.change(func(names map[string]*vfile) { delete(names, name) })
	case "renameat", "renameat2", "rename":
		from, to := c.args[0], c.args[1]
		d.change(func(names map[string]*vfile) {
			for n, f := range maps.Clone(names) {
				if n == from || strings.HasPrefix(n, from+"/") {
					delete(names, n)
					names[to+n[len(from):]] = f
				}
			}
		})
	case "pwrite64":
		file.write(pendingWrite{at: number(3), data: []byte(c.args[1])[:c.n]})
	case "ftruncate":
		file.write(pendingWrite{size: number(1)})
	case "fallocate":
		if c.args[1] != "0" {
			t.Fatalf("fallocate with mode %s is not simulated", c.args[1])
		}
		file.write(pendingWrite{size: max(int64(len(file.now)), number(2)+number(3))})
	case "fsync", "fdatasync":
		if file.dir {
			d.safe = len(d.changes)
		}
		file.synced, file.pending = bytes.Clone(file.now), nil
		return "sync"
	default:
		t.Fatalf("%s is not simulated: %.200q", c.name, c.args)
	}
	return "write"
}

func (f *vfile) write(w pendingWrite) {
	f.now = w.apply(f.now)
	f.pending = append(f.pending, w)
}

func (w pendingWrite) apply(b []byte) []byte {
	size := w.at + int64(len(w.data))
	if w.data == nil {
		b = b[:min(w.size, int64(len(b)))]
		size = w.size
	}
	if grow := size - int64(len(b)); grow > 0 {
		b = append(b, make([]byte, grow)...)
	}
	copy(b[w.at:], w.data)
	return b
}

// afterCut returns what is there after a power cut: of what was not synced, some of the names and some of the sectors.
// Without random it is none of them.
func (d *vdisk) afterCut(random *rand.Rand) map[string][]byte {
	changes := d.safe
	if random != nil {
		changes += random.IntN(len(d.changes) - d.safe + 1)
	}
	names := map[string]*vfile{}
	for _, how := range d.changes[:changes] {
		how(names)
	}
	left := map[string][]byte{}
	for name, f := range names {
		if f.dir {
			left[name] = nil
			continue
		}
		b := append([]byte{}, f.synced...)
		for _, w := range f.pending {
			if random == nil {
				break
			}
			for _, piece := range w.sectors() {
				if random.IntN(2) == 0 {
					b = piece.apply(b)
				}
			}
		}
		left[name] = b
	}
	return left
}

func (w pendingWrite) sectors() (pieces []pendingWrite) {
	if w.data == nil {
		return []pendingWrite{w}
	}
	for at, data := w.at, w.data; len(data) > 0; {
		n := min(int64(len(data)), sector-at%sector)
		pieces = append(pieces, pendingWrite{at: at, data: data[:n]})
		at, data = at+n, data[n:]
	}
	return pieces
}

// afterKill returns what is there when the process was killed: everything.
func (d *vdisk) afterKill() map[string][]byte {
	left := map[string][]byte{}
	for name, f := range d.names {
		if left[name] = f.now; f.dir {
			left[name] = nil
		} else if f.now == nil {
			left[name] = []byte{}
		}
	}
	return left
}

// lay puts the tree under dir in place of root; nil is a directory.
func (d *vdisk) lay(t *testing.T, left map[string][]byte, dir string) {
	t.Helper()
	must(t, os.RemoveAll(dir))
	for _, name := range slices.Sorted(maps.Keys(left)) {
		to := dir + strings.TrimPrefix(name, d.root)
		if left[name] == nil {
			must(t, os.MkdirAll(to, 0o700))
			continue
		}
		must(t, os.WriteFile(to, left[name], 0o600))
	}
}

// sameAs says whether what was done again is what the process has really left on the disk.
func (d *vdisk) sameAs(t *testing.T) error {
	t.Helper()
	for name, want := range d.afterKill() {
		if want == nil {
			continue
		}
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
			return fmt.Errorf("%s differs: %w", name, err)
		}
	}
	return filepath.WalkDir(d.root, func(name string, _ fs.DirEntry, err error) error {
		if err == nil && d.names[name] == nil {
			err = fmt.Errorf("%s was not simulated", name)
		}
		return err
	})
}
