package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/atbridge/atbridge/bridge"
)

// browse is what stands on the page at url after it has been open for a while, as a browser has it in its tree. The time
// is the browser's own: it does not pass while it waits for an answer.
func browse(t *testing.T, url string, open time.Duration) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	profile, err := os.MkdirTemp("", "atbridge-browser")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(profile) }) // its children may still write there: what is left is no fault of the page
	cmd := exec.CommandContext(ctx, browser(t), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--user-data-dir="+profile, fmt.Sprintf("--virtual-time-budget=%d", open.Milliseconds()), "--dump-dom", url)
	cmd.WaitDelay = 5 * time.Second // its children may hold the pipe
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	dom, err := cmd.Output()
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		t.Fatalf("the browser: %v\n%s", err, stderr.String())
	}
	_, body, found := strings.Cut(string(dom), "<body") // what stands before is ours
	if !found {
		t.Fatalf("the browser shows %q\n%s", dom, stderr.String())
	}
	body, _, _ = strings.Cut(body, "<script>") // and so is what stands behind
	return body
}

func browser(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("ATBRIDGE_CI") == "1" {
		t.Fatal("chromium is not installed")
	}
	t.Skip("chromium is not installed; this test looks at the page with it")
	return ""
}

// The page says what the daemon says.
func TestPageInBrowser(t *testing.T) {
	t.Parallel()
	browser(t)
	failed := make(chan struct{}, 100)
	b := newBridge(t, "<b>site7</b>", func(s bridge.State, _ string) {
		if s == bridge.BackingOff {
			failed <- struct{}{}
		}
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	url := served(t, b, "127.0.0.1:8390")
	select {
	case <-failed:
	case err := <-ended:
		t.Fatal(err)
	}
	dom := browse(t, url, 3*time.Second)
	for _, want := range []string{
		`<span id="is">backing-off</span>`, "connection refused</p>", "Messages are kept here",
		`<span id="name">&lt;b&gt;site7&lt;/b&gt;</span>`, "<dt>client id</dt><dd class=\"\"><span>&lt;b&gt;site7&lt;/b&gt;</span>",
		`<section hidden="" aria-labelledby="card-4"><h2 id="card-4">Modem</h2>`, // there is none
	} {
		if !strings.Contains(dom, want) {
			t.Errorf("the page lacks %s:\n%s", want, dom)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// hostile fills every text that v holds, names in maps too, with markup that says where it stands.
func hostile(v reflect.Value, where string) {
	text := "<img src=x id=" + where + ">&amp;"
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Struct:
		if _, ok := v.Interface().(time.Time); ok {
			return
		}
		for i := range v.NumField() {
			hostile(v.Field(i), where+"."+v.Type().Field(i).Name)
		}
	case reflect.Map:
		value := reflect.New(v.Type().Elem()).Elem()
		hostile(value, where)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf(text), value)
	case reflect.Int, reflect.Int64:
		v.SetInt(-71)
	case reflect.Uint64:
		v.SetUint(71)
	}
}

// daemon is one that may say anything, behind the page as it is. After a number of answers it is gone.
func daemon(t *testing.T, st bridge.Status, answers int64) string {
	t.Helper()
	var asked atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", new(Server).page)
	mux.HandleFunc("/api/status", func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) > answers {
			panic(http.ErrAbortHandler) // the connection is closed
		}
		reply(w, st)
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv.URL
}

// Whatever a modem, a broker or a topic is called: on the page it is text.
func TestPageHostile(t *testing.T) {
	t.Parallel()
	var st bridge.Status
	hostile(reflect.ValueOf(&st).Elem(), "S")
	dom := browse(t, daemon(t, st, 1000), 5*time.Second)
	if strings.Contains(dom, "<img") {
		t.Errorf("a name has become markup:\n%s", dom)
	}
	for _, where := range []string{
		"State", "Path", "Reason", "Modem.Port", "Modem.Driver", "Modem.Manufacturer", "Modem.Model", "Modem.Revision", "Modem.IMEI", "Modem.ICCID",
		"Network.Operator", "Network.Signal", "Network.Address", "Local.Broker", "Local.Reason", "Cloud.Broker", "Cloud.ClientID", "Queue.Dir", "Line.URCs", "Recovery",
	} {
		if want := "&lt;img src=x id=S." + where + "&gt;&amp;amp;"; !strings.Contains(dom, want) {
			t.Errorf("the page lacks %s:\n%s", want, dom)
		}
	}
}

// A daemon that does not answer any more is no longer online, and what it has said last is grey.
func TestPageStale(t *testing.T) {
	t.Parallel()
	st := bridge.Status{State: bridge.Online, Since: time.Now().Add(-3 * time.Hour)}
	st.Modem.Port, st.Network.RSSI, st.Network.Signal = "/dev/ttyUSB2", -71, "good"
	fresh := browse(t, daemon(t, st, 1000), 5*time.Second)
	for _, want := range []string{`<span id="is">online</span>`, "Messages reach the broker.", " class=\"good\"", "(3 h ", "-71 dBm, good</span><meter ", "last answer ", "<dt>overruns</dt>"} {
		if !strings.Contains(fresh, want) {
			t.Errorf("the page lacks %s:\n%s", want, fresh)
		}
	}
	stale := browse(t, daemon(t, st, 1), 9*time.Second)
	for _, want := range []string{` class="stale"`, `<span id="is">no answer</span>`, "The daemon does not answer", "last answer at ", " ago; what stands below was true then", "-71 dBm, good"} {
		if !strings.Contains(stale, want) {
			t.Errorf("the page lacks %s:\n%s", want, stale)
		}
	}
	if strings.Contains(fresh, ` class="stale"`) || strings.Contains(stale, "Messages reach the broker.") {
		t.Errorf("%s\n%s", fresh, stale)
	}
}
