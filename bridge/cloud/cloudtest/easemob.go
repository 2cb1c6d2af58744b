package cloudtest

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"regexp"
	"sync"
	"time"
)

// EasemobApp is one application.
type EasemobApp struct {
	ID, ClientID, ClientSecret string

	// Life of a user's token; zero: as long as was asked for.
	Life time.Duration

	mu     sync.Mutex
	apps   map[string]bool // tokens of the application
	users  map[string]easemobToken
	tokens int
}

type easemobToken struct {
	user, client string
	ends         time.Time
}

// Tokens is how many have been handed out to users.
func (a *EasemobApp) Tokens() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.tokens
}

// Revoke makes every token that was handed out worthless.
func (a *EasemobApp) Revoke() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.users = map[string]easemobToken{}
}

func (a *EasemobApp) hosts() map[string]string {
	return map[string]string{
		a.ID + ".cn1.mqtt.chat:1883": "plain", a.ID + ".cn1.mqtt.chat:1884": "secure", "api.cn1.mqtt.chat:443": "https",
	}
}

var easemobID = regexp.MustCompile(`^[0-9A-Za-z_-]+@[0-9A-Za-z_-]+$`)

func (a *EasemobApp) login(c connect, now time.Time) (device, *refusal) {
	if len(c.clientID) > 64 || !easemobID.MatchString(c.clientID) {
		return device{}, refuse(2, "a client id that is no device@application of 64 characters")
	}
	if c.keepalive == 0 || c.keepalive > 180 {
		return device{}, refuse(5, "a keepalive of %d s", c.keepalive)
	}
	a.mu.Lock()
	t, known := a.users[c.password]
	a.mu.Unlock()
	if !known || t.user != c.username || t.client != c.clientID || !now.Before(t.ends) {
		return device{}, refuse(4, "a token that was not given to this user and client, or has ended")
	}
	return device{name: c.clientID, ends: t.ends, uses: func(topic string) bool { return len(topic) <= 64 }}, nil
}

// ServeHTTP hands out the application's token, and for that one the user's.
func (a *EasemobApp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body struct {
		AppClientID     string `json:"appClientId"`
		AppClientSecret string `json:"appClientSecret"`
		Username        string `json:"username"`
		ExpiresIn       int64  `json:"expires_in"`
		CID             string `json:"cid"`
	}
	if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" || json.NewDecoder(r.Body).Decode(&body) != nil {
		http.NotFound(w, r)
		return
	}
	fail := func(why string) {
		w.WriteHeader(http.StatusBadRequest)
		json.NewEncoder(w).Encode(map[string]any{"code": 400, "msg": "fail", "body": why})
	}
	grant := func(token string, life time.Duration) {
		json.NewEncoder(w).Encode(map[string]any{"code": 200, "msg": "success",
			"body": map[string]any{"access_token": token, "expires_in": int64(life / time.Second), "application": a.ID}})
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch r.URL.Path {
	case "/app/" + a.ID + "/openapi/rm/app/token":
		switch {
		case body.AppClientID == "":
			fail("app_client_id can not be empty")
		case body.AppClientSecret == "":
			fail("app_client_secret can not be empty")
		case body.AppClientID != a.ClientID || body.AppClientSecret != a.ClientSecret:
			fail("app_client_id does not match app_client_secret")
		default:
			token := "YWMt" + rand.Text()
			if a.apps == nil {
				a.apps = map[string]bool{}
			}
			a.apps[token] = true
			grant(token, 60*24*time.Hour)
		}
	case "/app/" + a.ID + "/openapi/rm/user/token":
		if !a.apps[r.Header.Get("Authorization")] || body.Username == "" {
			fail("unauthorized")
			return
		}
		life := time.Duration(body.ExpiresIn) * time.Second
		if a.Life > 0 {
			life = a.Life
		}
		token := "YWMt" + rand.Text()
		if a.users == nil {
			a.users = map[string]easemobToken{}
		}
		a.users[token] = easemobToken{body.Username, body.CID, time.Now().Add(life)}
		a.tokens++
		grant(token, life)
	default:
		http.NotFound(w, r)
	}
}
