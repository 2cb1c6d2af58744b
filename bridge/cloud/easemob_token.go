package cloud

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// EasemobTokens fetches the password of Easemob: a token of the application first, with that one of the user.
type EasemobTokens struct {
	API, AppID, ClientID, ClientSecret string
	Dial                               Dial
	CAFile                             string
	Clock                              Clock
}

// ErrToken: the platform has refused to give a token.
var ErrToken = errors.New("Easemob gives no token")

// userToken is how long the token that is asked for lives.
const userToken = 24 * time.Hour

// URL is where the tokens come from: as the console shows it, or what the application's id makes of it.
func (t EasemobTokens) URL() string {
	return strings.TrimRight(cmp.Or(t.API, "https://api.cn1.mqtt.chat/app/"+t.AppID), "/")
}

// Fetch returns e with a fresh token. lived is how long it is good for, by the platform's word.
func (t EasemobTokens) Fetch(ctx context.Context, e Easemob) (fresh Easemob, lived time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	app, _, err := t.post(ctx, "/openapi/rm/app/token", "", map[string]any{"appClientId": t.ClientID, "appClientSecret": t.ClientSecret})
	if err != nil {
		return e, 0, fmt.Errorf("%w; check cloud.easemob.client_id and client_secret", err)
	}
	e.Token, lived, err = t.post(ctx, "/openapi/rm/user/token", app,
		map[string]any{"username": e.Username, "expires_in": int(userToken / time.Second), "cid": e.clientID()})
	if err != nil {
		return e, 0, fmt.Errorf("%w; check cloud.easemob.username and device_id", err)
	}
	return e, lived, nil
}

func (t EasemobTokens) post(ctx context.Context, path, authorization string, body map[string]any) (token string, lived time.Duration, err error) {
	b, err := json.Marshal(body)
	if err != nil {
		return "", 0, err
	}
	req, err := postJSON(ctx, t.URL()+path, b)
	if err != nil {
		return "", 0, err
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization) // the token alone, without "Bearer"
	}
	var answer struct {
		Code int             `json:"code"`
		Body json.RawMessage `json:"body"` // of an error: its text
	}
	client, err := httpClient(t.Dial, t.CAFile, t.Clock)
	if err != nil {
		return "", 0, err
	}
	if err := exchange(client, req, &answer); err != nil {
		return "", 0, fmt.Errorf("fetching Easemob's token: %w", err)
	}
	var granted struct {
		Token   string `json:"access_token"`
		Expires int64  `json:"expires_in"`
	}
	if answer.Code == 200 && json.Unmarshal(answer.Body, &granted) == nil && granted.Token != "" {
		return granted.Token, time.Duration(granted.Expires) * time.Second, nil
	}
	var text string
	if json.Unmarshal(answer.Body, &text) != nil {
		text = "no token in its answer"
	}
	err = fmt.Errorf("%w (code %d): %.200s", ErrToken, answer.Code, text)
	if answer.Code >= 500 {
		err = fmt.Errorf("Easemob has a fault (code %d)", answer.Code)
	}
	return "", 0, err
}
