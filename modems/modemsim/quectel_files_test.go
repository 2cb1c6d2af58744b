package modemsim

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// upload stores a file the way a host does that knows its size.
func (h *host) upload(name, content string) {
	h.t.Helper()
	h.ask(fmt.Sprintf(`AT+QFUPL="%s",%d,100`, name, len(content)), urc("CONNECT"))
	h.send(content)
	h.expect(urc("+QFUPL: %d,%04x", len(content), checksum([]byte(content))) + isOK)
}

func TestFiles(t *testing.T) {
	t.Parallel()
	h := bare(t)
	h.ask("AT+QFLST", isOK)
	h.ask(`AT+QFUPL="test1.txt",10`, urc("CONNECT"))
	h.send("1234567890")
	h.expect(urc("+QFUPL: 10,3938") + isOK) // FILE AN V1.0, 3.1.1
	h.ask(`AT+QFUPL="UFS:odd",3`, urc("CONNECT"))
	h.send("\x01\x02\x80")
	h.expect(urc("+QFUPL: 3,8102") + isOK) // the odd byte is a high one
	h.ask(`AT+QFUPL="test1.txt",10`, urc("+CME ERROR: 407"))
	h.ask(`AT+QFUPL="ufs:test1.txt",10`, urc("+CME ERROR: 407"))
	h.ask("AT+CMEE=2", isOK)
	h.ask(`AT+QFUPL="test1.txt",10`, urc("+CME ERROR: file already exist"))
	h.ask(`AT+QFDEL="nosuch"`, urc("+CME ERROR: 405"))
	h.ask("AT+CMEE=0", isOK)
	h.ask(`AT+QFUPL="test1.txt",10`, isError)
	h.ask("AT+CMEE=1", isOK)
	for command, code := range map[string]int{
		`AT+QFUPL="RAM:x",1`: 406, `AT+QFUPL="a/b",1`: 406, `AT+QFUPL="*",1`: 406, `AT+QFUPL="` + strings.Repeat("n", 81) + `",1`: 406,
		`AT+QFUPL="",1`: 400, `AT+QFUPL="x",0`: 400, `AT+QFUPL="x",1,0`: 400, `AT+QFUPL="x",1,1,2`: 400, `AT+QFUPL="x",1,1,1,1`: 400,
		`AT+QFUPL="x",917501`: 420, `AT+QFDWL="x"`: 405, `AT+QFLST="x"`: 405, `AT+QFLDS="SD"`: 400,
	} {
		h.ask(command, urc("+CME ERROR: %d", code))
	}
	h.ask(`AT+QFLST="*"`, urc("+QFLST: \"UFS:odd\",3\r\n+QFLST: \"UFS:test1.txt\",10")+isOK)
	h.ask(`AT+QFLST="test1.txt"`, urc(`+QFLST: "UFS:test1.txt",10`)+isOK)
	h.ask(`AT+QFLDS="UFS"`, urc("+QFLDS: 917490,917503")+isOK)
	h.ask("AT+QFLDS", urc("+QFLDS: 13,2")+isOK)
	h.ask("AT+CFUN=1,1", isOK+banner) // files stay
	h.ask(`AT+QFDWL="UFS:odd"`, urc("CONNECT")+"\x01\x02\x80"+urc("+QFDWL: 3,8102")+isOK)
	h.ask(`AT+QFDEL="UFS:odd"`, isOK)
	h.ask(`AT+QFLST`, urc(`+QFLST: "UFS:test1.txt",10`)+isOK)
	h.ask(`AT+QFDEL="*"`, isOK)
	h.ask(`AT+QFLST`, isOK)
}

// The bytes of a file are no command, whatever they look like, and what comes after them is nothing.
func TestFileOfAnything(t *testing.T) {
	t.Parallel()
	h := bare(t)
	content := "\r\nAT+CFUN=0\r\x1a\x1b\x00+++\r\nOK\r\n"
	h.ask(fmt.Sprintf(`AT+QFUPL="f",%d`, len(content)), urc("CONNECT"))
	h.sim.Inject("+URC: 1") // waits
	h.send(content + "AT\r")
	h.expect(urc("+QFUPL: %d,%04x", len(content), checksum([]byte(content))) + isOK + urc("+URC: 1"))
	h.ask(`AT+QFDWL="f"`, urc("CONNECT")+content+urc("+QFDWL: %d,%04x", len(content), checksum([]byte(content)))+isOK)
	h.ask("ATV0", "0\r")
	h.ask(`AT+QFUPL="g",1`, "1\r")
	h.send("x")
	h.expect("+QFUPL: 1,7800\r\n0\r")
}

// A host that promises more than it sends, or nothing of the size, waits for the module to give up; the file is there.
func TestUploadTimeout(t *testing.T) {
	t.Parallel()
	h := bare(t)
	h.ask(`AT+QFUPL="f",20,1`, urc("CONNECT"))
	begin := time.Now()
	h.send("short")
	h.expect(urc("+QFUPL: 5,%04x", checksum([]byte("short"))) + urc("+CME ERROR: 421"))
	if took := time.Since(begin); took < 900*time.Millisecond {
		t.Errorf("ended after %v", took)
	}
	h.ask("AT+QFLST", urc(`+QFLST: "UFS:f",5`)+isOK)
	h.ask(`AT+QFUPL="g"`, urc("CONNECT"))
	h.send(strings.Repeat("x", 10239))
	h.silent(100 * time.Millisecond)
	h.send("x")
	h.expect(urc("+QFUPL: 10240,0000") + isOK)
}

func TestUploadAcknowledged(t *testing.T) {
	t.Parallel()
	h := bare(t)
	h.ask(`AT+QFUPL="f",2048,5,1`, urc("CONNECT"))
	h.send(strings.Repeat("x", 1023))
	h.silent(30 * time.Millisecond)
	h.send("x")
	h.expect("A")
	h.send(strings.Repeat("x", 1024))
	h.expect(urc("+QFUPL: 2048,0000") + isOK)
}
