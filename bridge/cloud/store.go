package cloud

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Identity is what registration has handed out to one device: its secret (Tencent: the psk), or the name and token that stand
// for one.
type Identity struct {
	ProductKey   string       `json:"product_key"`
	DeviceName   string       `json:"device_name"`
	DeviceSecret string       `json:"device_secret,omitempty"`
	Token        *AliyunToken `json:"token,omitempty"`
}

// identityVersion is that of the file. One without a version is older, and has the same content.
const identityVersion = 1

// identityFile is what stands in the file.
type identityFile struct {
	Version int `json:"version"`
	Identity
}

// Of reports whether i was handed out to d.
func (i *Identity) Of(d Registrable) bool {
	product, device := d.Names()
	return i != nil && i.ProductKey == product && i.DeviceName == device
}

// LoadIdentity reads what has been stored; nil: nothing was.
func LoadIdentity(file string) (*Identity, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the stored identity cannot be read: %w", err)
	}
	var f identityFile
	err = json.Unmarshal(b, &f)
	if err == nil && f.Version > identityVersion {
		return nil, fmt.Errorf("%s was written by a newer atbridge (version %d of the file, and this one knows %d); install that one again", file, f.Version, identityVersion)
	}
	i := &f.Identity
	if err != nil || i.DeviceSecret == "" && i.Token == nil {
		return nil, fmt.Errorf("%s is damaged and holds no identity; reset the device in the platform's console, remove the file, and register again", file)
	}
	return i, nil
}

// reserved is what the file of an identity may need. It is on the disk before the platform is asked for anything.
const reserved = 4096

// Place is room on the disk for an identity that is about to be handed out. A platform hands it out once: what could fail
// in storing it (a directory that is missing or belongs to another, a disk that is full) has to fail before it is asked.
type Place struct {
	file string
	f    *os.File
}

// Reserve makes the directory and a file of its full size beside the one that the identity will have, on the disk.
func Reserve(file string) (*Place, error) {
	p, err := reserve(file)
	if err != nil {
		return nil, fmt.Errorf("there is no place for the identity: %w", err)
	}
	return p, nil
}

func reserve(file string) (*Place, error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(file+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	p := &Place{file, f}
	_, err = f.Write(bytes.Repeat([]byte{' '}, reserved))
	if err = errors.Join(err, f.Chmod(0o600), f.Sync(), syncDir(file)); err != nil {
		return nil, errors.Join(err, p.Release())
	}
	return p, nil
}

// Store writes the identity and gives the file its name. When it returns, the identity survives a power cut; until then
// the file of that name is the old one, or none.
func (p *Place) Store(i Identity) error {
	b, err := json.MarshalIndent(identityFile{identityVersion, i}, "", "  ")
	if err != nil {
		return err
	}
	if b = append(b, '\n'); len(b) < reserved { // blanks are no part of JSON: the file keeps its size, and so its place
		b = append(b, bytes.Repeat([]byte{' '}, reserved-len(b))...)
	}
	if _, err := p.f.WriteAt(b, 0); err != nil {
		return fmt.Errorf("storing the identity: %w", err)
	}
	if err := errors.Join(p.f.Sync(), p.f.Close(), os.Rename(p.file+".new", p.file), syncDir(p.file)); err != nil {
		return fmt.Errorf("storing the identity: %w", err)
	}
	p.f = nil
	return nil
}

// Release gives up a place that was not used.
func (p *Place) Release() error {
	if p.f == nil {
		return nil
	}
	return errors.Join(p.f.Close(), os.Remove(p.file+".new"))
}

func syncDir(file string) error {
	d, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
