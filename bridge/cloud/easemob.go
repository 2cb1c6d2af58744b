package cloud

import "time"

// Easemob is a device of Easemob's MQTT service.
type Easemob struct {
	Host     string // empty: what the application's id makes of it
	AppID    string
	DeviceID string
	Username string
	TLS      bool

	Token   string // of the user, from FetchToken; a secret
	Expires time.Time
}

// The ports are those of the service's samples, where the one for TLS is only named beside the others.
const (
	easemobPlain = 1883
	easemobTLS   = 1884
)

// Params are those of the token that has been fetched. Without one there is no password.
func (e Easemob) Params(time.Time) (Params, error) {
	p := Params{
		Host: e.Host, Port: easemobPlain, TLS: e.TLS,
		ClientID: e.clientID(), Username: e.Username, Password: e.Token, Expires: e.Expires,
	}
	if p.Host == "" {
		p.Host = e.AppID + ".cn1.mqtt.chat"
	}
	if e.TLS {
		p.Port = easemobTLS
	}
	return p, nil
}

func (e Easemob) clientID() string { return e.DeviceID + "@" + e.AppID }

// Rules of the service's page of restrictions.
func (e Easemob) Rules() Rules {
	return Rules{
		Name: "Easemob", KeepAliveMin: time.Second, KeepAliveMax: 3 * time.Minute,
		ClientID: 64, ClientIDMarks: "-_@", Topic: 64, TopicMarks: "-_$+#@", Payload: 64 << 10,
		Keys: "cloud.easemob.username, client_id and client_secret",
	}
}
