package modemsim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// The errors of the file commands (FILE AN V1.0), and the two sizes that its examples show.
const (
	fileInput   = 400
	fileMissing = 405
	fileName    = 406
	fileExists  = 407
	fileNoSpace = 420
	fileTimeout = 421

	ufsSize   = 917503
	usualSize = 10240 // of an upload that tells none
	ackEvery  = 1024
)

// files is the flash file system UFS; it survives a reboot. Reading and writing by handle (AT+QFOPEN and
// its like) is not here, nor "+++", which ends an upload half-way.
func (q *quectel) files() map[string]command {
	return map[string]command{
		"+QFUPL": {set: q.qfupl, test: noText},
		"+QFDWL": {set: q.qfdwl, test: noText},
		"+QFLST": {exec: func() reply { return q.qflst(&args{list: []arg{{text: "*"}}}) }, set: q.qflst, test: noText},
		"+QFDEL": {set: q.qfdel, test: noText},
		"+QFLDS": {exec: q.qfldsCount, set: q.qflds, test: noText},
	}
}

// ufsName takes the prefix away that a name may have; no other one is known to this module.
func ufsName(name string) (bare string, valid bool) {
	if len(name) >= 4 && strings.EqualFold(name[:4], "UFS:") {
		name = name[4:]
	}
	return name, name != "" && len(name) <= 80 && !strings.ContainsAny(name, `:/\*`)
}

// checksum is the XOR of the file's 16-bit words, the first byte of each the high one.
func checksum(data []byte) (sum uint16) {
	for i, b := range data {
		sum ^= uint16(b) << (8 * (1 - i%2))
	}
	return sum
}

func (q *quectel) used() (n int) {
	for _, data := range q.nvm.files {
		n += len(data)
	}
	return n
}

func (q *quectel) room() int {
	if q.f.ufs > 0 {
		return q.f.ufs
	}
	return ufsSize
}

// qfupl is AT+QFUPL: CONNECT, the bytes of the file, how many there were and their checksum. What has come when
// the host falls silent is kept.
func (q *quectel) qfupl(a *args) reply {
	name, valid := ufsName(a.str(1, 84))
	size, seconds, acks := usualSize, 5, 0
	if a.more() {
		size = a.num(1, 1<<30)
	}
	if a.more() {
		seconds = a.num(1, 65535)
	}
	if a.more() {
		acks = a.num(0, 1)
	}
	_, exists := q.nvm.files[name]
	switch {
	case !a.end():
		return cme(fileInput)
	case !valid:
		return cme(fileName)
	case exists:
		return cme(fileExists)
	case q.used()+size > q.room():
		return cme(fileNoSpace)
	}
	store := func(data []byte) {
		q.uploads++
		if q.f.badSum > 0 && q.uploads%q.f.badSum == 0 && len(data) > 0 {
			data[len(data)/2] ^= 0x20
		}
		q.nvm.files[name] = data
		q.summed("+QFUPL", data)
	}
	return q.prompted(&phase{
		want: size, file: true, acks: acks == 1, quiet: time.Duration(seconds) * time.Second,
		done:  func(data []byte) reply { store(data); return okay },
		lapse: func(data []byte) reply { store(data); return cme(fileTimeout) },
	})
}

// summed tells size and checksum of a file. The manual's examples have both cases of hex digits.
func (q *quectel) summed(name string, data []byte) {
	sum := fmt.Sprintf("%04x", checksum(data))
	if q.f.upperSum {
		sum = strings.ToUpper(sum)
	}
	q.info("%s: %d,%s", name, len(data), sum)
}

// qfdwl prints a file between CONNECT and its checksum.
func (q *quectel) qfdwl(a *args) reply {
	name, _ := ufsName(a.str(1, 84))
	data, exists := q.nvm.files[name]
	switch {
	case !a.end():
		return cme(fileInput)
	case !exists:
		return cme(fileMissing)
	}
	q.print(q.spell("CONNECT") + string(data))
	q.summed("+QFDWL", data)
	return okay
}

// matching lists the files that a pattern means: one name, or * for all.
func (q *quectel) matching(a *args) (names []string, r reply) {
	pattern, _ := ufsName(a.str(1, 84))
	_, exists := q.nvm.files[pattern]
	switch {
	case !a.end():
		return nil, cme(fileInput)
	case pattern == "*":
		return slices.Sorted(maps.Keys(q.nvm.files)), okay
	case !exists:
		return nil, cme(fileMissing)
	}
	return []string{pattern}, okay
}

func (q *quectel) qflst(a *args) reply {
	names, r := q.matching(a)
	for _, name := range names {
		q.info(`+QFLST: "UFS:%s",%d`, name, len(q.nvm.files[name]))
	}
	return r
}

func (q *quectel) qfdel(a *args) reply {
	names, r := q.matching(a)
	for _, name := range names {
		delete(q.nvm.files, name)
	}
	return r
}

func (q *quectel) qflds(a *args) reply {
	if a.key() != "ufs" || !a.end() {
		return cme(fileInput)
	}
	q.info("+QFLDS: %d,%d", q.room()-q.used(), q.room())
	return okay
}

func (q *quectel) qfldsCount() reply {
	q.info("+QFLDS: %d,%d", q.used(), len(q.nvm.files))
	return okay
}
