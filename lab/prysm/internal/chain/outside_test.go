package chain

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
)

func ask(t *testing.T, body string) string {
	t.Helper()
	answer := httptest.NewRecorder()
	execute(answer, httptest.NewRequest("POST", "/", strings.NewReader(body)), Hoodi.ChainID, true)
	return answer.Body.String()
}

// Real Prysm v7 is not healthy with an execution client whose blocks lack one of these.
func TestBlocksHaveWhatRealPrysmReads(t *testing.T) {
	var answer struct {
		Result struct{ Number, Hash, ParentHash, Timestamp string }
	}
	for body, number := range map[string]string{
		`{"id":1,"method":"eth_getBlockByNumber","params":["0x10",false]}`:   "0x10",
		`{"id":1,"method":"eth_getBlockByNumber","params":["latest",false]}`: "",
	} {
		if err := json.Unmarshal([]byte(ask(t, body)), &answer); err != nil {
			t.Fatal(err)
		}
		block := answer.Result
		if len(block.Hash) != 66 || len(block.ParentHash) != 66 || block.Hash == block.ParentHash || block.Timestamp == "" {
			t.Errorf("%s: %+v", body, block)
		}
		if number != "" && block.Number != number {
			t.Errorf("%s: number %s", body, block.Number)
		}
	}
}

// v7.1.6 ends with a panic where the count is shorter than eight bytes.
func TestTheDepositContractHasNoDeposits(t *testing.T) {
	for _, name := range []string{"data", "input"} {
		text := ask(t, `{"id":1,"method":"eth_call","params":[{"`+name+`":"0x621fd130"},"latest"]}`)
		if !strings.Contains(text, strings.Repeat("0", 62)+"20"+strings.Repeat("0", 63)+"8"+strings.Repeat("0", 64)) {
			t.Errorf("%s: %s", name, text)
		}
	}
}

func TestSeveralQuestionsInOneRequest(t *testing.T) {
	var answers []struct {
		ID     int
		Result any
		Error  any
	}
	text := ask(t, `[{"id":7,"method":"eth_chainId"},{"id":8,"method":"debug_nothing"}]`)
	if err := json.Unmarshal([]byte(text), &answers); err != nil {
		t.Fatal(err)
	}
	if len(answers) != 2 || answers[0].ID != 7 || answers[0].Result != "0x88bb0" || answers[1].Error == nil {
		t.Errorf("%s", text)
	}
}
